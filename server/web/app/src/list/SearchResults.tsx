import type { Conversation, FoundMessage, User } from "@natterjack/client";
import { type ReactNode, useState } from "react";
import { Link, useLocation } from "wouter";
import { explain, useAccount, useChat, useConversation, useObservable, useUser } from "../chat.ts";
import { parse, plainText } from "../conversation/text/parse.ts";
import { count, shortTime } from "../format.ts";
import { useNow } from "../now.ts";
import { paths } from "../paths.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Button } from "../ui/Button.tsx";
import { Empty } from "../ui/Empty.tsx";
import { Names } from "../ui/Names.tsx";
import { Spinner } from "../ui/Spinner.tsx";
import { toast } from "../ui/toasts.ts";
import { ConversationRow } from "./ConversationRow.tsx";
import styles from "./list.module.css";
import { excerpt, matches } from "./match.ts";
import row from "./row.module.css";
import { useSearch } from "./useSearch.ts";

/** How many conversations are shown before people and messages. */
const mostConversations = 8;

/** What was found in place of the list: conversations at once, people and messages when the server has answered. */
export default function SearchResults({ query, open }: { query: string; open: string | undefined }) {
  const conversations = useObservable(useChat().conversations);
  const found = useSearch(query);
  const own = useAccount().user.id;
  const fitting = conversations.filter((c) => matches(query, c.title, c.peer?.username ?? "")).slice(0, mostConversations);
  const known = new Set(fitting.map((c) => c.peer?.id));
  const people = found.people.filter((u) => u.id !== own && !known.has(u.id));
  const none = !found.pending && found.error === undefined && fitting.length + people.length + found.messages.length === 0;
  return (
    <div className={styles.scroll}>
      <p role="status" className="hidden-visually">
        {found.pending ? "" : summary(fitting.length, people.length, found.messages.length)}
      </p>
      <Section title="Conversations" items={fitting}>
        {(c: Conversation) => (
          <ConversationRow key={c.id} conversation={c} to={paths.conversation(c.id)} current={c.id === open} />
        )}
      </Section>
      <Section title="People" items={people}>
        {(u: User) => <PersonRow key={u.id} user={u} />}
      </Section>
      <Section title="Messages" items={found.messages}>
        {(m: FoundMessage) => <MessageRow key={`${m.conversationId}/${m.message.key}`} found={m} query={query} />}
      </Section>
      {found.pending && (
        <div className={styles.centre}>
          <Spinner label="Searching" />
        </div>
      )}
      {found.error !== undefined && <p className={styles.problem}>{found.error}</p>}
      {found.more !== undefined && <More more={found.more} />}
      {none && (
        <Empty title="Nothing found">
          <p>No conversation, person or message has all of these words.</p>
        </Empty>
      )}
    </div>
  );
}

function summary(conversations: number, people: number, messages: number): string {
  return `Found: ${count(conversations, "conversation")}, ${count(people, "person", "people")}, ${count(messages, "message")}.`;
}

function Section<T>({ title, items, children }: { title: string; items: readonly T[]; children: (item: T) => ReactNode }) {
  if (items.length === 0) {
    return null;
  }
  return (
    <section aria-label={title}>
      <h2 className={styles.sectionTitle}>{title}</h2>
      {items.map(children)}
    </section>
  );
}

function PersonRow({ user }: { user: User }) {
  const chat = useChat();
  const [, navigate] = useLocation();
  const open = async () => {
    try {
      navigate(paths.conversation(await chat.openDirect(user.id)));
    } catch (error) {
      toast(explain(error));
    }
  };
  return (
    <button type="button" className={styles.person} onClick={open}>
      <Avatar id={user.id} name={user.displayName} url={user.avatarUrl} size={40} />
      <Names user={user} />
    </button>
  );
}

function MessageRow({ found, query }: { found: FoundMessage; query: string }) {
  const now = useNow();
  const conversation = useConversation(found.conversationId);
  const sender = useUser(found.message.senderId);
  const { message } = found;
  // The title of a direct conversation has named the other one.
  const by = message.mine ? "You" : conversation?.kind === "group" ? sender?.displayName : undefined;
  return (
    <Link href={paths.conversation(found.conversationId, message.seq)} className={row.row}>
      <span className={row.text}>
        <span className={row.top}>
          <bdi className={row.title}>{conversation?.title ?? ""}</bdi>
          <time className={row.time} dateTime={new Date(message.time).toISOString()}>
            {shortTime(message.time, now)}
          </time>
        </span>
        <span className={row.found}>
          {by !== undefined && (
            <>
              <bdi>{by}</bdi>:{" "}
            </>
          )}
          <bdi>
            {excerpt(plainText(parse(message.content)), query).map((p, i) =>
              // biome-ignore lint/suspicious/noArrayIndexKey: pieces have no other name than their place
              p.found ? <mark key={i}>{p.text}</mark> : p.text,
            )}
          </bdi>
        </span>
      </span>
    </Link>
  );
}

function More({ more }: { more: () => Promise<void> }) {
  const [busy, setBusy] = useState(false);
  const load = async () => {
    setBusy(true);
    await more();
    setBusy(false);
  };
  return (
    <div className={styles.centre}>
      <Button busy={busy} onClick={load}>
        More messages
      </Button>
    </div>
  );
}
