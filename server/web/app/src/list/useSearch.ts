import type { FoundMessage, Page, User } from "@natterjack/client";
import { useCallback, useEffect, useState } from "react";
import { explain, useChat } from "../chat.ts";
import { asPrefix } from "./match.ts";

/** In milliseconds: how long nothing has to be typed before the server is asked. */
const pause = 200;

export interface Found {
  /** What was found so far belongs to an earlier query, or there is nothing yet. */
  readonly pending: boolean;
  readonly people: readonly User[];
  readonly messages: readonly FoundMessage[];
  /** Loads more messages; undefined where there are none. */
  readonly more?: (() => Promise<void>) | undefined;
  readonly error?: string | undefined;
}

const nothing: Found = { pending: false, people: [], messages: [] };

/** Asks the server for people and messages; answers to what is no longer asked are dropped. */
export function useSearch(text: string): Found {
  const chat = useChat();
  const query = text.trim();
  const [found, setFound] = useState(nothing);
  const show = useCallback(
    (people: readonly User[], page: Page<FoundMessage>, before: readonly FoundMessage[], wanted: () => boolean) => {
      const messages = [...before, ...page.items];
      const { next } = page;
      const more =
        next &&
        (async () => {
          try {
            const following = await next();
            if (wanted()) {
              show(people, following, messages, wanted);
            }
          } catch (error) {
            if (wanted()) {
              setFound((f) => ({ ...f, error: explain(error) }));
            }
          }
        });
      setFound({ pending: false, people, messages, more });
    },
    [],
  );
  useEffect(() => {
    if (query === "") {
      setFound(nothing);
      return;
    }
    let current = true;
    setFound((f) => ({ ...f, pending: true, more: undefined, error: undefined }));
    const timer = setTimeout(async () => {
      try {
        const [people, messages] = await Promise.all([
          chat.searchUsers(query.slice(0, 64)),
          chat.searchMessages(asPrefix(query)),
        ]);
        if (current) {
          show(people, messages, [], () => current);
        }
      } catch (error) {
        if (current) {
          setFound({ ...nothing, error: explain(error) });
        }
      }
    }, pause);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [chat, query, show]);
  return found;
}

/** People whose name fits what was typed; undefined while they are looked for. */
export function usePeople(text: string): { people: readonly User[] | undefined; error?: string } {
  const chat = useChat();
  const query = text.trim().slice(0, 64);
  const [state, setState] = useState<{ query: string; people: readonly User[]; error?: string }>({ query: "", people: [] });
  useEffect(() => {
    if (query === "") {
      setState({ query, people: [] });
      return;
    }
    let current = true;
    const timer = setTimeout(() => {
      chat.searchUsers(query).then(
        (people) => current && setState({ query, people }),
        (error) => current && setState({ query, people: [], error: explain(error) }),
      );
    }, pause);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [chat, query]);
  return state.query === query ? state : { people: undefined };
}
