import type { User } from "@natterjack/client";
import { useMemo, useState } from "react";
import { useAccount, useChat, useObservable } from "../chat.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { SearchField } from "../ui/Field.tsx";
import { Icon } from "../ui/Icon.tsx";
import { Names } from "../ui/Names.tsx";
import { Spinner } from "../ui/Spinner.tsx";
import styles from "./picker.module.css";
import { usePeople } from "./useSearch.ts";

interface PickerProps {
  /** Those chosen so far; without it, choosing somebody is all there is to do. */
  chosen?: readonly User[];
  onChoose: (user: User) => void;
  /** Ids of those who are not offered. */
  without?: ReadonlySet<string>;
}

/** Finds people by name. Before something is typed it offers those who were talked to last. */
export function PeoplePicker({ chosen, onChoose, without }: PickerProps) {
  const [query, setQuery] = useState("");
  const own = useAccount().user.id;
  const { people, error } = usePeople(query);
  const recent = useRecent();
  const offered = (query.trim() === "" ? recent : people)?.filter((u) => u.id !== own && !without?.has(u.id));
  return (
    <div className={styles.picker}>
      {chosen !== undefined && chosen.length > 0 && (
        <ul className={styles.chosen} aria-label="Chosen">
          {chosen.map((u) => (
            <li key={u.id}>
              <button type="button" onClick={() => onChoose(u)} aria-label={`Remove ${u.displayName}`}>
                <bdi>{u.displayName}</bdi>
                <Icon name="close" size={14} />
              </button>
            </li>
          ))}
        </ul>
      )}
      <SearchField label="Find people" placeholder="Name or username" value={query} onChange={setQuery} />
      <div className={styles.results}>
        {error !== undefined && <p role="alert">{error}</p>}
        {offered === undefined && <Spinner label="Searching" />}
        {offered?.length === 0 && error === undefined && (
          <p>{query.trim() === "" ? "Type the beginning of a name." : "Nobody of that name."}</p>
        )}
        {offered?.map((u) => (
          <Person key={u.id} user={u} chosen={chosen?.some((c) => c.id === u.id)} onChoose={() => onChoose(u)} />
        ))}
      </div>
    </div>
  );
}

function Person({ user, chosen, onChoose }: { user: User; chosen: boolean | undefined; onChoose: () => void }) {
  return (
    <button type="button" className={styles.person} aria-pressed={chosen} onClick={onChoose}>
      <Avatar id={user.id} name={user.displayName} url={user.avatarUrl} size={40} />
      <Names user={user} />
      {chosen === true && <Icon name="check" />}
    </button>
  );
}

/** Those chosen so far, and the way to choose somebody, or not to after all. */
export function useChosen(): [readonly User[], (user: User) => void] {
  const [chosen, setChosen] = useState<readonly User[]>([]);
  const toggle = (user: User) =>
    setChosen((all) => (all.some((u) => u.id === user.id) ? all.filter((u) => u.id !== user.id) : [...all, user]));
  return [chosen, toggle];
}

/** The others of the newest direct conversations. */
function useRecent(): readonly User[] {
  const conversations = useObservable(useChat().conversations);
  return useMemo(() => conversations.flatMap((c) => c.peer ?? []).slice(0, 20), [conversations]);
}
