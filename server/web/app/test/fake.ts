/** A Chat without a server, for tests of components: observables that a test sets, and calls that it looks at. */

import type {
  Account,
  AccountState,
  Chat,
  ConnectionState,
  Conversation,
  Message,
  Observable,
  Presence,
  Timeline,
  TimelineState,
  User,
} from "@natterjack/client";

/** An observable that is set from outside; it tells at once. */
export class Value<T> implements Observable<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get() {
    return this.#value;
  }

  set(value: T) {
    this.#value = value;
    for (const changed of this.#listeners) {
      changed();
    }
  }

  subscribe(changed: () => void) {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }
}

export function user(id: string, displayName: string, more: Partial<User> = {}): User {
  return { id, username: id, displayName, avatarUrl: "", ...more };
}

export function message(content: string, more: Partial<Message> = {}): Message {
  return {
    key: content,
    conversationId: "c1",
    seq: 1,
    senderId: "u2",
    content,
    time: Date.UTC(2026, 0, 1, 12),
    deleted: false,
    replyTo: 0,
    reactions: [],
    mine: false,
    ...more,
  };
}

export function conversation(id: string, title: string, more: Partial<Conversation> = {}): Conversation {
  return {
    id,
    kind: "group",
    title,
    role: "member",
    memberCount: 3,
    unread: 0,
    lastSeq: 1,
    readSeq: 1,
    receipts: [],
    updateTime: Date.UTC(2026, 0, 1, 12),
    draft: "",
    ...more,
  };
}

const none: TimelineState = { messages: [], hasOlder: false, hasNewer: false, loading: "none", openedReadSeq: 0 };

/** What a fake chat begins with. */
export interface Scene {
  readonly account?: Account | undefined;
  readonly conversations?: readonly Conversation[];
  readonly users?: readonly User[];
  readonly presences?: Readonly<Record<string, Presence>>;
  readonly typing?: Readonly<Record<string, readonly User[]>>;
  readonly connection?: ConnectionState;
  readonly waiting?: number;
}

export interface FakeChat extends Chat {
  readonly account: Value<AccountState>;
  readonly connection: Value<ConnectionState>;
  readonly conversations: Value<readonly Conversation[]>;
  readonly keeps: Value<boolean>;
  readonly waiting: Value<number>;
  /** All that was asked for, as a name and its arguments. */
  readonly calls: [string, ...unknown[]][];
}

export const self = user("u1", "Ada Lovelace");

/** A chat of somebody who is signed in, unless the scene says `account: undefined`. */
export function fakeChat(scene: Scene = {}): FakeChat {
  const calls: [string, ...unknown[]][] = [];
  const noted =
    <A extends unknown[], R>(name: string, answer: R) =>
    (...args: A): R => {
      calls.push([name, ...args]);
      return answer;
    };
  const done = (name: string) => noted<unknown[], Promise<void>>(name, Promise.resolve());
  const account = "account" in scene ? scene.account : { user: self, createTime: 0, presenceHidden: false };
  const users = scene.users ?? [];
  const conversations = new Value(scene.conversations ?? []);
  return {
    calls,
    account: new Value<AccountState>(account === undefined ? { status: "signed-out" } : { status: "signed-in", account }),
    connection: new Value<ConnectionState>(scene.connection ?? { status: "live", over: "websocket" }),
    conversations,
    conversationsLoaded: new Value(true),
    waiting: new Value(scene.waiting ?? 0),
    keeps: new Value(true),
    conversation: (id) => ({
      get: () => conversations.get().find((c) => c.id === id),
      subscribe: (changed) => conversations.subscribe(changed),
    }),
    typing: (id) => new Value(scene.typing?.[id] ?? []),
    presence: (id) => new Value<Presence>(scene.presences?.[id] ?? { state: "unknown" }),
    user: (id) => new Value(users.find((u) => u.id === id)),
    members: () => new Value(undefined),
    openTimeline: (): Timeline => ({
      get: () => none,
      subscribe: () => () => {},
      loadOlder: done("loadOlder"),
      loadNewer: done("loadNewer"),
      jumpTo: done("jumpTo"),
      jumpToNewest: done("jumpToNewest"),
      message: () => new Value<Message | undefined>(undefined),
      close: noted("closeTimeline", undefined),
    }),
    signUp: done("signUp"),
    signIn: done("signIn"),
    signOut: done("signOut"),
    sessions: async () => [],
    revokeSession: done("revokeSession"),
    revokeOtherSessions: done("revokeOtherSessions"),
    changePassword: done("changePassword"),
    updateProfile: done("updateProfile"),
    send: done("send"),
    retry: done("retry"),
    discard: done("discard"),
    edit: done("edit"),
    delete: done("delete"),
    react: done("react"),
    setTyping: noted("setTyping", undefined),
    markRead: noted("markRead", undefined),
    setDraft: noted("setDraft", undefined),
    openDirect: noted("openDirect", Promise.resolve("new-direct")),
    createGroup: noted("createGroup", Promise.resolve("new-group")),
    rename: done("rename"),
    addMembers: done("addMembers"),
    removeMember: done("removeMember"),
    setRole: done("setRole"),
    leave: done("leave"),
    searchUsers: async (query) => {
      calls.push(["searchUsers", query]);
      return users.filter((u) => u.username.startsWith(query.toLowerCase()));
    },
    searchMessages: noted("searchMessages", Promise.resolve({ items: [] })),
    onMessage: () => () => {},
    reconnect: noted("reconnect", undefined),
    close: noted("close", undefined),
  };
}
