import type { FoundMessage, Page } from "@natterjack/client";
import { type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import { explain, useChat } from "../chat.ts";
import { timeOfDay } from "../format.ts";
import { asPrefix } from "../list/match.ts";
import { Button, IconButton } from "../ui/Button.tsx";
import { SearchField } from "../ui/Field.tsx";
import { moveFocus } from "../ui/moveFocus.ts";
import { Spinner } from "../ui/Spinner.tsx";
import styles from "./find.module.css";
import { Sender } from "./Quote.tsx";
import { preview } from "./text/preview.ts";
import { dayName } from "./words.ts";

/** How long writing pauses before it is searched for, in milliseconds. */
const pause = 250;

type Found =
  | { readonly status: "nothing" | "searching" }
  | { readonly status: "failed"; readonly error: unknown }
  | { readonly status: "found"; readonly items: readonly FoundMessage[]; readonly next?: Page<FoundMessage>["next"] };

interface FindProps {
  conversationId: string;
  onJump: (seq: number) => void;
  onClose: () => void;
}

/** Searches the messages of one conversation, and leads to them. */
export default function Find({ conversationId, onJump, onClose }: FindProps) {
  const [query, setQuery] = useState("");
  const [found, more] = useFound(conversationId, query);
  const search = useRef<HTMLElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const [shown, setShown] = useState(true);
  const jump = (seq: number) => {
    // What was found is under the results. Back in the field they are there again.
    field.current?.focus();
    setShown(false);
    onJump(seq);
  };
  useFocusWithin(search, field);
  return (
    <search
      ref={search}
      className={styles.find}
      onFocus={(event) => setShown((was) => was || event.target === field.current)}
      onPointerDown={(event) => setShown((was) => was || event.target === field.current)}
      onKeyDown={(event) => {
        setShown(true);
        if (event.key === "Escape") onClose();
        // From the field through the results, and back.
        else moveFocus(event, [...event.currentTarget.querySelectorAll<HTMLElement>("input, li button")]);
      }}
    >
      <div className={styles.line}>
        <SearchField ref={field} label="Search in this conversation" value={query} onChange={setQuery} />
        <IconButton icon="close" label="Close the search" onClick={onClose} />
      </div>
      <div className={styles.results} hidden={!shown || found.status === "nothing"}>
        <p className={found.status === "found" && found.items.length > 0 ? "hidden-visually" : styles.note} role="status">
          {says(found, query)}
        </p>
        {found.status === "searching" && <Spinner />}
        {found.status === "found" && (
          <ul>
            {found.items.map(({ message }) => (
              <li key={message.key}>
                <button type="button" className={styles.result} onClick={() => jump(message.seq)}>
                  <span className={styles.about}>
                    <Sender message={message} className={styles.sender} />
                    <time dateTime={new Date(message.time).toISOString()}>
                      {dayName(message.time, Date.now())}, {timeOfDay(message.time)}
                    </time>
                  </span>
                  <span className={styles.text} dir="auto">
                    {preview(message)}
                  </span>
                </button>
              </li>
            ))}
          </ul>
        )}
        {found.status === "found" && found.next !== undefined && (
          <Button look="plain" onClick={more}>
            Show more
          </Button>
        )}
      </div>
    </search>
  );
}

/** Gives the focus to a field as it opens; where it is still within when that ends, it goes back to where it was. */
function useFocusWithin(whole: RefObject<HTMLElement | null>, field: RefObject<HTMLElement | null>): void {
  useLayoutEffect(() => {
    const before = document.activeElement;
    const { current: within } = whole;
    field.current?.focus();
    return () => {
      if (within?.contains(document.activeElement) && before instanceof HTMLElement) before.focus();
    };
  }, [whole, field]);
}

function says(found: Found, query: string): string {
  switch (found.status) {
    case "failed":
      return explain(found.error);
    case "found":
      return found.items.length === 0
        ? `Nothing found for “${query.trim()}”.`
        : `${found.items.length}${found.next === undefined ? "" : " or more"} found.`;
    default:
      return "";
  }
}

/** What is found for the query, and a way to the next page. Answers that come too late are dropped. */
function useFound(conversationId: string, query: string): [Found, () => void] {
  const chat = useChat();
  const [found, setFound] = useState<Found>({ status: "nothing" });
  const asked = useRef(0);
  const wanted = query.trim();
  const ask = async (load: () => Promise<Page<FoundMessage>>, before: readonly FoundMessage[]) => {
    const mine = ++asked.current;
    const answer = await load().then(pageAfter(before), (error: unknown): Found => ({ status: "failed", error }));
    if (mine === asked.current) setFound(answer);
  };
  const latest = useRef(ask);
  useEffect(() => {
    latest.current = ask;
  });
  useEffect(() => {
    asked.current++;
    if (wanted === "") return setFound({ status: "nothing" });
    const timer = setTimeout(() => {
      setFound((before) => (before.status === "found" ? before : { status: "searching" }));
      void latest.current(() => chat.searchMessages(asPrefix(wanted), conversationId), []);
    }, pause);
    return () => clearTimeout(timer);
  }, [chat, conversationId, wanted]);
  return [found, () => found.status === "found" && found.next !== undefined && void ask(found.next, found.items)];
}

function pageAfter(before: readonly FoundMessage[]): (page: Page<FoundMessage>) => Found {
  return ({ items, next }) => ({ status: "found", items: [...before, ...items], ...(next !== undefined && { next }) });
}
