import type { Conversation } from "@natterjack/client";
import { type KeyboardEvent, lazy, Suspense, useDeferredValue, useEffect, useRef, useState } from "react";
import { Virtualizer } from "virtua";
import { useLocation } from "wouter";
import { useAccount, useChat, useObservable } from "../chat.ts";
import { paths } from "../paths.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Button, IconButton } from "../ui/Button.tsx";
import { Empty } from "../ui/Empty.tsx";
import { SearchField } from "../ui/Field.tsx";
import { Header } from "../ui/Header.tsx";
import { moveFocus } from "../ui/moveFocus.ts";
import { Spinner } from "../ui/Spinner.tsx";
import { Toad } from "../ui/Toad.tsx";
import { ConversationRow } from "./ConversationRow.tsx";
import styles from "./list.module.css";

const NewConversation = lazy(() => import("./NewConversation.tsx"));
const SearchResults = lazy(() => import("./SearchResults.tsx"));

interface ConversationsProps {
  /** The conversation on screen. */
  open: string | undefined;
  /** Its details are on screen too, and those of the next one that is chosen are wanted. */
  details: boolean;
}

/** The first pane: all conversations, what is found among them, and the way to new ones. */
export function Conversations({ open, details }: ConversationsProps) {
  const [query, setQuery] = useState("");
  const [creating, setCreating] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  useShortcut("k", () => search.current?.focus());
  const shown = useDeferredValue(query);
  return (
    <>
      <Header className={styles.header}>
        <Toad size={30} />
        <h1 className={styles.name}>Natterjack</h1>
        <IconButton icon="plus" label="New conversation" onClick={() => setCreating(true)} />
        <Own />
      </Header>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the arrow keys go through what is in it, which the keyboard reaches without them too */}
      <div className={styles.finder} onKeyDown={moveThrough}>
        <search className={styles.search}>
          <SearchField ref={search} label="Search" shortcut="Control+K" value={query} onChange={setQuery} />
        </search>
        {query.trim() === "" ? (
          <List open={open} details={details} onNew={() => setCreating(true)} />
        ) : (
          <Suspense fallback={null}>
            <SearchResults query={shown} open={open} />
          </Suspense>
        )}
      </div>
      {creating && (
        <Suspense fallback={null}>
          <NewConversation onClose={() => setCreating(false)} />
        </Suspense>
      )}
    </>
  );
}

/** The own picture, and the way to the settings. */
function Own() {
  const { user } = useAccount();
  const [path, navigate] = useLocation();
  const here = path === paths.settings;
  return (
    <a
      href={paths.settings}
      className={styles.own}
      aria-current={here ? "page" : undefined}
      data-tip="Settings"
      onClick={(e) => {
        if (!(e.metaKey || e.ctrlKey || e.shiftKey)) {
          e.preventDefault();
          navigate(paths.settings);
        }
      }}
    >
      <Avatar id={user.id} name={user.displayName} url={user.avatarUrl} size={32} />
      <span className="hidden-visually">Settings</span>
    </a>
  );
}

interface ListProps extends ConversationsProps {
  onNew: () => void;
}

function List({ open, details, onNew }: ListProps) {
  const chat = useChat();
  const conversations = useObservable(chat.conversations);
  const loaded = useObservable(chat.conversationsLoaded);
  const wide = useWide();
  if (conversations.length === 0) {
    return loaded ? <NoConversations onNew={onNew} /> : <Loading />;
  }
  const to = (c: Conversation) => (details && wide ? paths.details(c.id) : paths.conversation(c.id));
  return (
    <div className={styles.scroll}>
      <Virtualizer as="ul" item="li" data={conversations}>
        {(c) => <ConversationRow key={c.id} conversation={c} to={to(c)} current={c.id === open} />}
      </Virtualizer>
    </div>
  );
}

function Loading() {
  return (
    <div className={styles.centre}>
      <Spinner label="Loading conversations" />
    </div>
  );
}

function NoConversations({ onNew }: { onNew: () => void }) {
  return (
    <Empty title="It is quiet here">
      <p>Find somebody by name, and say hello.</p>
      <Button look="primary" icon="plus" onClick={onNew}>
        New conversation
      </Button>
    </Empty>
  );
}

/** From the field of the search through the list, or through what is found in its place. */
function moveThrough(event: KeyboardEvent<HTMLElement>) {
  moveFocus(event, [...event.currentTarget.querySelectorAll<HTMLElement>(`input, .${styles.scroll} :is(a, button)`)]);
}

/** Calls back for Ctrl or Command with a key, wherever the focus is. */
function useShortcut(key: string, run: () => void) {
  const last = useRef(run);
  last.current = run;
  useEffect(() => {
    const pressed = (e: globalThis.KeyboardEvent) => {
      if (e.key === key && (e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey) {
        e.preventDefault();
        last.current();
      }
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [key]);
}

/** Whether there is room for the third pane. */
function useWide(): boolean {
  const [query] = useState(() => matchMedia("(width >= 1200px)"));
  const [wide, setWide] = useState(query.matches);
  useEffect(() => {
    const changed = () => setWide(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query]);
  return wide;
}
