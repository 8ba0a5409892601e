/** The way from components to the client: one Chat in a context, and hooks that draw anew when what they read has changed. */

import type { Account, Chat, Conversation, Member, Observable, Presence, User } from "@natterjack/client";
import { isChatError } from "@natterjack/client";
import { createContext, useContext, useMemo, useSyncExternalStore } from "react";

export const ChatContext = createContext<Chat | undefined>(undefined);

/** The Chat of this page. It is the same for as long as the page is open. */
export function useChat(): Chat {
  const chat = useContext(ChatContext);
  if (chat === undefined) {
    throw new Error("useChat outside of a ChatContext");
  }
  return chat;
}

/** The value of an observable. Keep the observable itself between renders (useMemo), or use one of the hooks below that do. */
export function useObservable<T>(observable: Observable<T>): T {
  const [subscribe, get] = useMemo(
    () => [(changed: () => void) => observable.subscribe(changed), () => observable.get()] as const,
    [observable],
  );
  return useSyncExternalStore(subscribe, get);
}

/** The signed-in account. Use it only below the point where somebody is signed in. */
export function useAccount(): Account {
  const state = useObservable(useChat().account);
  if (state.status !== "signed-in") {
    throw new SignedOut();
  }
  return state.account;
}

/** Thrown while drawing in the moment between the end of a session and the change to the sign-in page; nothing is wrong then. */
export class SignedOut extends Error {}

export function useConversation(id: string): Conversation | undefined {
  const chat = useChat();
  return useObservable(useMemo(() => chat.conversation(id), [chat, id]));
}

export function useMembers(conversationId: string): readonly Member[] | undefined {
  const chat = useChat();
  return useObservable(useMemo(() => chat.members(conversationId), [chat, conversationId]));
}

export function useTyping(conversationId: string): readonly User[] {
  const chat = useChat();
  return useObservable(useMemo(() => chat.typing(conversationId), [chat, conversationId]));
}

/** A value that never changes, as an observable. */
function constant<T>(value: T): Observable<T> {
  return { get: () => value, subscribe: () => () => {} };
}

const noUser = constant<User | undefined>(undefined);
const nobody = constant<Presence>({ state: "unknown" });

/** A user, loaded when first asked for; none without an id. */
export function useUser(id: string | undefined): User | undefined {
  const chat = useChat();
  return useObservable(useMemo(() => (id === undefined ? noUser : chat.user(id)), [chat, id]));
}

/** The presence of a user, watched while the component is there; unknown without an id. */
export function usePresence(userId: string | undefined): Presence {
  const chat = useChat();
  return useObservable(useMemo(() => (userId === undefined ? nobody : chat.presence(userId)), [chat, userId]));
}

/** The server's rules for what people write into fields, in their words; its own are for programmers. */
const fieldRules: Readonly<Record<string, string>> = {
  username: "3 to 32 letters, digits, dots, dashes and underscores, beginning with a letter or digit.",
  password: "8 characters at least, and not more than fit into 256 bytes.",
  new_password: "8 characters at least, and not more than fit into 256 bytes.",
  display_name: "64 characters at most, one of which has to show, and none that turn the direction of what follows.",
  title: "128 characters at most, one of which has to show, and none that turn the direction of what follows.",
  avatar_url: "The address of a picture that begins with https://, or nothing.",
};

/** What to tell people about something that went wrong. */
export function explain(error: unknown): string {
  if (!isChatError(error)) {
    return "Something went wrong. Please try again.";
  }
  if (error.code === "network") {
    return "The server could not be reached. Check your connection and try again.";
  }
  const known = fieldRules[error.field];
  if (known !== undefined && error.code === "invalid_argument") {
    return known;
  }
  const text = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
