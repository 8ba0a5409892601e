/**
 * The interface of the client: what a user interface sees and does. Everything it reads is an {@link Observable} of immutable values; what has not changed
 * keeps its identity, so a view may compare by `===` (and `useSyncExternalStore` works on it as it is). Times are milliseconds since 1970 by the server's
 * clock, ids are opaque strings, places in a conversation (`seq`) are whole numbers from 1.
 */

/** A value that changes. Callbacks run after the change, at most once per task of the event loop for any number of changes. */
export interface Observable<T> {
  /** The value as it is now. */
  get(): T;
  /** Calls `changed` after each change, until the returned function is called. */
  subscribe(changed: () => void): () => void;
}

/** The public face of a user. */
export interface User {
  readonly id: string;
  readonly username: string;
  readonly displayName: string;
  /** An https URL, or empty. */
  readonly avatarUrl: string;
}

/** The user who is signed in here. */
export interface Account {
  readonly user: User;
  readonly createTime: number;
  /** Others see this user as offline. */
  readonly presenceHidden: boolean;
}

/** One signed-in device or program of the account. */
export interface SessionInfo {
  readonly id: string;
  readonly deviceName: string;
  /** The network address it was last refreshed from; may be empty. */
  readonly address: string;
  readonly createTime: number;
  readonly refreshTime: number;
  readonly expireTime: number;
  /** It is the one that asks. */
  readonly current: boolean;
}

/** Who is signed in. `loading` lasts until what the browser keeps has been read. */
export type AccountState =
  | { readonly status: "loading" }
  // With the reason where it was not the user's own doing.
  | { readonly status: "signed-out"; readonly reason?: "revoked" | "expired" }
  | { readonly status: "signed-in"; readonly account: Account };

/**
 * Whether this device hears what happens.
 * - `stopped`: nobody is signed in, or the server told this client to stay away (another one took its place, or it breaks the protocol): nothing comes
 *   any more until {@link Chat.reconnect} is called.
 * - `offline`: the browser says that there is no network; it comes back by itself.
 * - `connecting`: the first connection, or one after `waiting`.
 * - `waiting`: the server was not reached; the next attempt is at `retryTime`, or when {@link Chat.reconnect} is called.
 * - `catching-up`: connected, but what was missed has not all come.
 * - `live`: what happens is shown as it happens.
 */
export type ConnectionState =
  | { readonly status: "stopped" }
  | { readonly status: "offline" }
  | { readonly status: "connecting" }
  | { readonly status: "waiting"; readonly retryTime: number; readonly attempt: number }
  | { readonly status: "catching-up" }
  | { readonly status: "live"; readonly over: "websocket" | "http2" | "subscribe" };

export type Role = "reader" | "member" | "admin" | "owner";

export interface Member {
  readonly user: User;
  readonly role: Role;
}

/** How far a member has come. */
export interface Receipt {
  readonly userId: string;
  readonly readSeq: number;
  readonly deliveredSeq: number;
  readonly readTime?: number;
}

/** A conversation as a list shows it. */
export interface Conversation {
  readonly id: string;
  readonly kind: "direct" | "group";
  /** A group's title; of a direct conversation the other user's display name. */
  readonly title: string;
  /** The other user of a direct conversation. */
  readonly peer?: User;
  readonly role: Role;
  readonly memberCount: number;
  readonly unread: number;
  readonly lastSeq: number;
  /** The newest message, one of the outbox where there is one. */
  readonly lastMessage?: Message;
  /** What the own marks are; messages after `readSeq` are new. */
  readonly readSeq: number;
  /** Others' marks; empty in conversations of more than 64 members. */
  readonly receipts: readonly Receipt[];
  /** When something last happened; lists are sorted by it. */
  readonly updateTime: number;
  /** Text that was written and not sent, kept on this device. */
  readonly draft: string;
}

export interface Reaction {
  readonly emoji: string;
  readonly userIds: readonly string[];
  /** The own user is among them. */
  readonly mine: boolean;
}

/**
 * How far a message of one's own has come. `queued`: kept until there is a connection; `sending`: on its way; `failed`: refused, see
 * `error`; `sent`: stored; `delivered`, `read`: by at least one other member (of a direct conversation: the other).
 */
export type Delivery = "queued" | "sending" | "failed" | "sent" | "delivered" | "read";

export interface Message {
  /** Unique in the conversation and the same from the outbox to the end: a key for lists. */
  readonly key: string;
  readonly conversationId: string;
  /** 0 while it is in the outbox. */
  readonly seq: number;
  readonly senderId: string;
  readonly content: string;
  /** When the server stored it; for one of the outbox, when it was written. */
  readonly time: number;
  readonly editTime?: number;
  /** It was deleted: `content` is empty. */
  readonly deleted: boolean;
  /** The `seq` of the message it answers, or 0. */
  readonly replyTo: number;
  readonly reactions: readonly Reaction[];
  /** Sent by this user. */
  readonly mine: boolean;
  /** Set on one's own messages. */
  readonly delivery?: Delivery;
  /** Set with `failed`. */
  readonly error?: ChatError;
}

export type PresenceState = "online" | "away" | "offline" | "unknown";

export interface Presence {
  readonly state: PresenceState;
  /** When the user was last seen; only with `offline`, where it is known. */
  readonly lastSeenTime?: number;
}

/** One piece of a conversation, gapless, as it is on screen. */
export interface TimelineState {
  /** Oldest first; own messages of the outbox follow the stored ones where the piece reaches the newest. */
  readonly messages: readonly Message[];
  /** There may be older messages that are not in this piece; so there may while nothing is loaded. */
  readonly hasOlder: boolean;
  /** There are newer messages that are not in this piece. */
  readonly hasNewer: boolean;
  readonly loading: "none" | "first" | "older" | "newer";
  /** The last load failed and can be asked for again; what is there stays. */
  readonly error?: ChatError;
  /** Where "new messages" begins: the own read mark at the time the timeline was opened. */
  readonly openedReadSeq: number;
}

/** A window on one conversation. Open one per conversation on screen, and close it. */
export interface Timeline extends Observable<TimelineState> {
  /** Loads the page before the oldest or after the newest message; concurrent calls share one load. Failures are told in the state. */
  loadOlder(): Promise<void>;
  loadNewer(): Promise<void>;
  /** Shows the piece around a message (a reply's original, a search result). */
  jumpTo(seq: number): Promise<void>;
  jumpToNewest(): Promise<void>;
  /** A message by its place, from this piece or from the server (the original of a reply); undefined where there is none. */
  message(seq: number): Observable<Message | undefined>;
  close(): void;
}

/** What can go wrong, for programs (`code`, `reason`, `field`) and for people (`message`). */
export interface ChatError extends Error {
  /** A Connect code, such as "invalid_argument"; "network" where the server was not reached. */
  readonly code: string;
  /** The name of the ErrorReason without its prefix, such as "USERNAME_TAKEN"; empty where there is none. */
  readonly reason: string;
  /** The request's field that is wrong, or empty. */
  readonly field: string;
  /** Milliseconds after which trying again makes sense. */
  readonly retryAfter?: number;
}

/** A found message and where it is. */
export interface FoundMessage {
  readonly message: Message;
  readonly conversationId: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Asks for the next page; undefined on the last. */
  readonly next?: () => Promise<Page<T>>;
}

export interface ChatOptions {
  /** Where the server is: scheme, host, port. In a browser the page's own origin where it is left out. */
  readonly serverUrl?: string;
  /** Names the session in the list of sessions, at most 64 characters; made from the browser's name where it is left out. */
  readonly deviceName?: string;
  /** Begins the names of what is kept in the browser, for pages with several clients. "natterjack" where it is left out. */
  readonly storagePrefix?: string;
  /** Keeps nothing beyond this object: the session and the outbox end with it. For Node and tests. */
  readonly inMemory?: boolean;
}

/**
 * One device of one user: session, connection, cache and outbox. In a browser all tabs of an origin share one connection, and each shows the same. Methods
 * that return a Promise reject with a {@link ChatError}; observables never throw.
 */
export interface Chat {
  readonly account: Observable<AccountState>;
  readonly connection: Observable<ConnectionState>;
  /** All conversations, the one in which something last happened first. */
  readonly conversations: Observable<readonly Conversation[]>;
  /** False until the list has been read, from this device or from the server: an empty list means something only then. */
  readonly conversationsLoaded: Observable<boolean>;
  /** How many messages wait to be sent, over all conversations. */
  readonly waiting: Observable<number>;
  /**
   * False where the session and what is written end with the page: with `inMemory`, and while the browser's storage is missing, broken or full, or doesn't
   * answer. It is known after the first attempt, and may change.
   */
  readonly keeps: Observable<boolean>;

  conversation(id: string): Observable<Conversation | undefined>;
  /** Those who type there now, without oneself. */
  typing(conversationId: string): Observable<readonly User[]>;
  /** Watched for as long as somebody is subscribed. */
  presence(userId: string): Observable<Presence>;
  /** Loaded when first subscribed to. */
  user(id: string): Observable<User | undefined>;
  /** All members; loaded when first subscribed to, and kept current from then on. */
  members(conversationId: string): Observable<readonly Member[] | undefined>;
  openTimeline(conversationId: string): Timeline;

  signUp(form: { username: string; password: string; displayName?: string }): Promise<void>;
  signIn(form: { username: string; password: string }): Promise<void>;
  /**
   * Ends the session, and drops all that this device kept. (Where the server ended it, what waits to be sent, and the drafts, stay for the same user's return.)
   * Works without a network too: then the server's session runs out by itself. */
  signOut(): Promise<void>;
  sessions(): Promise<readonly SessionInfo[]>;
  revokeSession(id: string): Promise<void>;
  revokeOtherSessions(): Promise<void>;
  changePassword(form: { current: string; next: string }): Promise<void>;
  updateProfile(change: { displayName?: string; avatarUrl?: string; presenceHidden?: boolean }): Promise<void>;

  /** Queues a message, visible at once; it is sent in order, kept over reloads, and once however often it is tried. Refuses only what can never be sent (empty, over 16,384 bytes). */
  send(conversationId: string, content: string, options?: { replyTo?: number }): Promise<void>;
  /** Tries a failed message again, or gives it up. */
  retry(conversationId: string, key: string): Promise<void>;
  discard(conversationId: string, key: string): Promise<void>;
  edit(conversationId: string, seq: number, content: string): Promise<void>;
  delete(conversationId: string, seq: number): Promise<void>;
  react(conversationId: string, seq: number, emoji: string, on: boolean): Promise<void>;
  /** Call it on each input; it says so to the server as often as is needed, and ends by itself. */
  setTyping(conversationId: string, typing: boolean): void;
  /** Everything up to `seq` was shown to the user. Never goes back. */
  markRead(conversationId: string, seq: number): void;
  setDraft(conversationId: string, text: string): void;

  openDirect(userId: string): Promise<string>;
  createGroup(title: string, memberIds: readonly string[]): Promise<string>;
  rename(conversationId: string, title: string): Promise<void>;
  addMembers(conversationId: string, userIds: readonly string[], role?: Role): Promise<void>;
  removeMember(conversationId: string, userId: string): Promise<void>;
  setRole(conversationId: string, userId: string, role: Role): Promise<void>;
  leave(conversationId: string): Promise<void>;

  searchUsers(query: string): Promise<readonly User[]>;
  searchMessages(query: string, conversationId?: string): Promise<Page<FoundMessage>>;

  /** Calls back for each message of another user that arrives, in one tab only: for notifications. */
  onMessage(arrived: (message: Message, conversation: Conversation) => void): () => void;
  /** Tries to connect now instead of waiting for the next attempt. */
  reconnect(): void;
  /** Leaves: the connection ends, or another tab takes it over. The session stays. */
  close(): void;
}
