import type { Account as WireAccount, SessionInfo as WireSessionInfo } from "@natterjack/proto/auth/v1/session_pb.js";
import { ConversationKind, type ConversationSummary } from "@natterjack/proto/chat/v1/conversation_pb.js";
import type { Message as WireMessage } from "@natterjack/proto/chat/v1/message_pb.js";
import type {
  Account,
  AccountState,
  Chat,
  ChatOptions,
  ConnectionState,
  Conversation,
  FoundMessage,
  Member,
  Message,
  Observable,
  Page,
  Presence,
  Role,
  SessionInfo,
  Timeline,
  User,
} from "./api.js";
import { Device } from "./device.js";
import { chatError, toChatError } from "./errors.js";
import { always, both, follow } from "./follow.js";
import type { LinkParts } from "./link.js";
import { fromRole, millis, toMessage, toUser } from "./model/records.js";
import { Cell, Notifier } from "./model/signal.js";
import { messageView } from "./model/view.js";
import { browserNetwork, type Network } from "./network.js";
import { browserStorage, memoryStorage, type Storage } from "./storage.js";
import { type Surroundings, surroundings } from "./surroundings.js";
import type { Locks } from "./tabs.js";
import { uuid7 } from "./uuid.js";
import type { Calls, Session } from "./wire.js";
import { createWire, type Wire } from "./wiring.js";

/** What a program may put in place of what browsers have. */
export interface Parts {
  /** How to reach the server, such as over HTTP/2 in Node. */
  readonly network?: Network;
  /** How tabs take turns. */
  readonly locks?: Locks;
  readonly surroundings?: Surroundings;
  /** For tests. */
  readonly times?: LinkParts["times"];
}

/** Makes a chat. It reads what the browser keeps and connects, if somebody is signed in. */
export function createChat(options: ChatOptions = {}, parts: Parts = {}): Chat {
  return new KeptChat(options, parts);
}

const none: readonly never[] = [];
const nobody = always(undefined);
const unknown = always<Presence>({ state: "unknown" });
const empty = always<readonly never[]>(none);
const zero = always(0);
const no = always(false);
const stopped = always<ConnectionState>({ status: "stopped" });

/** What a view gets that is still there when nobody is signed in any more. */
const noTimeline: Timeline = {
  ...always({ messages: none, hasOlder: false, hasNewer: false, loading: "none" as const, openedReadSeq: 0 }),
  loadOlder: async () => {},
  loadNewer: async () => {},
  jumpTo: async () => {},
  jumpToNewest: async () => {},
  message: () => nobody,
  close: () => {},
};

class KeptChat implements Chat {
  readonly account: Cell<AccountState>;
  readonly connection: Observable<ConnectionState>;
  readonly conversations: Observable<readonly Conversation[]>;
  readonly conversationsLoaded: Observable<boolean>;
  readonly waiting: Observable<number>;
  readonly keeps: Observable<boolean>;

  readonly #notifier = new Notifier();
  readonly #device = new Cell<Device | undefined>(this.#notifier, undefined);
  readonly #name: string;
  readonly #storage: Storage;
  readonly #wire: Wire;
  readonly #session: Session;
  readonly #calls: Calls;
  readonly #shared: Locks | undefined;
  readonly #surroundings: Surroundings;
  readonly #leave: (() => void)[] = [];
  readonly #arrived = new Set<{ call: (message: Message, conversation: Conversation) => void }>();
  readonly #observables = new Map<string, Observable<unknown>>();
  #turns: Promise<void> = Promise.resolve();
  #userId: string | undefined | null = null;
  #closed = false;

  constructor(options: ChatOptions, parts: Parts) {
    this.#name = options.storagePrefix ?? "natterjack";
    this.account = new Cell<AccountState>(this.#notifier, { status: "loading" });
    this.#surroundings = parts.surroundings ?? surroundings();
    const memory = options.inMemory === true || typeof indexedDB === "undefined";
    const locks = parts.locks ?? globalThis.navigator?.locks;
    this.#shared = !memory && locks && typeof BroadcastChannel !== "undefined" ? locks : undefined;
    this.#storage = memory ? memoryStorage() : browserStorage(`${this.#name}.chat`);
    this.#wire = createWire({
      network: parts.network ?? browserNetwork(options.serverUrl),
      storagePrefix: this.#name,
      ...(options.deviceName !== undefined && { deviceName: options.deviceName }),
      inMemory: memory,
      ...(this.#shared ? { locks: this.#shared } : { alone: true }),
      link: { surroundings: this.#surroundings, ...(parts.times && { times: parts.times }) },
    });
    this.#session = this.#wire.session;
    this.#calls = this.#wire.calls;
    this.keeps = both(this.#wire.keeps, this.#storage.works);
    const d = <T>(pick: (device: Device) => Observable<T>, otherwise: Observable<T>) =>
      follow(this.#device, () => {
        const device = this.#device.get();
        return device ? pick(device) : otherwise;
      });
    this.connection = d<ConnectionState>((x) => x.connection, stopped);
    this.conversations = d<readonly Conversation[]>((x) => x.model.conversations, empty);
    this.conversationsLoaded = d<boolean>((x) => x.model.loaded, no);
    this.waiting = d<number>((x) => x.model.waiting, zero);
    const turn = () => void this.#turn();
    this.#leave.push(this.#session.userId.subscribe(turn), this.#session.ended.subscribe(turn));
    this.#leave.push(this.#surroundings.watch(() => this.#device.get()?.shown()));
    turn();
  }

  conversation(id: string): Observable<Conversation | undefined> {
    return this.#follow<Conversation | undefined>(`c${id}`, (d) => d.model.conversation(id), nobody);
  }

  typing(conversationId: string): Observable<readonly User[]> {
    return this.#follow<readonly User[]>(`t${conversationId}`, (d) => d.model.ephemera.typing(conversationId), empty);
  }

  presence(userId: string): Observable<Presence> {
    return this.#follow<Presence>(`p${userId}`, (d) => d.model.ephemera.presence(userId), unknown);
  }

  user(id: string): Observable<User | undefined> {
    return this.#follow<User | undefined>(`u${id}`, (d) => d.model.people.user(id), nobody);
  }

  members(conversationId: string): Observable<readonly Member[] | undefined> {
    return this.#follow<readonly Member[] | undefined>(
      `m${conversationId}`,
      (d) => d.model.people.members(conversationId),
      nobody,
    );
  }

  openTimeline(conversationId: string): Timeline {
    return this.#device.get()?.openTimeline(conversationId) ?? noTimeline;
  }

  // The account.

  async signUp(form: { username: string; password: string; displayName?: string }): Promise<void> {
    await this.#session.signUp(form);
    await this.#turn();
  }

  async signIn(form: { username: string; password: string }): Promise<void> {
    await this.#session.signIn(form);
    await this.#turn();
  }

  async signOut(): Promise<void> {
    const ended = this.#session.signOut();
    await this.#turn();
    await ended;
  }

  async sessions(): Promise<readonly SessionInfo[]> {
    const { sessions } = await this.#calls.auth.listSessions({});
    return sessions.map(sessionInfo);
  }

  async revokeSession(id: string): Promise<void> {
    await this.#calls.auth.revokeSession({ sessionId: id });
  }

  async revokeOtherSessions(): Promise<void> {
    await this.#calls.auth.revokeAllSessions({ keepCurrent: true });
  }

  async changePassword(form: { current: string; next: string }): Promise<void> {
    await this.#calls.auth.changePassword({ currentPassword: form.current, newPassword: form.next });
  }

  async updateProfile(change: { displayName?: string; avatarUrl?: string; presenceHidden?: boolean }): Promise<void> {
    const { account } = await this.#calls.auth.updateProfile(change);
    this.#gotAccount(this.#here(), account);
  }

  // Messages.

  async send(conversationId: string, content: string, options: { replyTo?: number } = {}): Promise<void> {
    const device = this.#here();
    device.typist.end(conversationId, true);
    await device.outbox.add(conversationId, content, options.replyTo ?? 0);
  }

  async retry(_conversationId: string, key: string): Promise<void> {
    await this.#here().outbox.retry(key);
  }

  async discard(_conversationId: string, key: string): Promise<void> {
    await this.#here().outbox.discard(key);
  }

  async edit(conversationId: string, seq: number, content: string): Promise<void> {
    await this.#change(this.#calls.chat.editMessage({ conversationId, seq: BigInt(seq), content }));
  }

  async delete(conversationId: string, seq: number): Promise<void> {
    await this.#change(this.#calls.chat.deleteMessage({ conversationId, seq: BigInt(seq) }));
  }

  async react(conversationId: string, seq: number, emoji: string, on: boolean): Promise<void> {
    const request = { conversationId, seq: BigInt(seq), emoji };
    await this.#change(on ? this.#calls.chat.addReaction(request) : this.#calls.chat.removeReaction(request));
  }

  setTyping(conversationId: string, typing: boolean): void {
    const typist = this.#device.get()?.typist;
    if (typing) {
      typist?.input(conversationId);
    } else {
      typist?.end(conversationId);
    }
  }

  markRead(conversationId: string, seq: number): void {
    this.#device.get()?.markRead(conversationId, seq);
  }

  setDraft(conversationId: string, text: string): void {
    this.#device.get()?.setDraft(conversationId, text);
  }

  // Conversations.

  async openDirect(userId: string): Promise<string> {
    const answer = await this.#calls.chat.createConversation({ kind: ConversationKind.DIRECT, memberIds: [userId] });
    return this.#created(answer.summary);
  }

  async createGroup(title: string, memberIds: readonly string[]): Promise<string> {
    const answer = await this.#calls.chat.createConversation({
      kind: ConversationKind.GROUP,
      title,
      memberIds: [...memberIds],
      clientConversationId: uuid7(),
    });
    return this.#created(answer.summary);
  }

  async rename(conversationId: string, title: string): Promise<void> {
    await this.#calls.chat.updateConversation({ conversationId, title });
  }

  async addMembers(conversationId: string, userIds: readonly string[], role: Role = "member"): Promise<void> {
    await this.#calls.chat.addMembers({ conversationId, userIds: [...userIds], role: fromRole(role) });
  }

  async removeMember(conversationId: string, userId: string): Promise<void> {
    await this.#calls.chat.removeMember({ conversationId, userId });
  }

  async setRole(conversationId: string, userId: string, role: Role): Promise<void> {
    await this.#calls.chat.updateMember({ conversationId, userId, role: fromRole(role) });
  }

  async leave(conversationId: string): Promise<void> {
    const device = this.#here();
    await this.#calls.chat.removeMember({ conversationId, userId: device.model.self });
    device.model.drop(conversationId);
  }

  // Search.

  async searchUsers(query: string): Promise<readonly User[]> {
    const { users } = await this.#calls.chat.searchUsers({ query });
    for (const u of users) {
      this.#device.get()?.model.learn(u);
    }
    return users.map(toUser);
  }

  async searchMessages(query: string, conversationId = ""): Promise<Page<FoundMessage>> {
    const page = async (pageToken: string): Promise<Page<FoundMessage>> => {
      const { model } = this.#here();
      const { messages, nextPageToken } = await this.#calls.chat.searchMessages({ query, conversationId, pageToken });
      const items = messages.map((m) => {
        const known = model.state(m.conversationId)?.record;
        const view = messageView(
          toMessage(m),
          known ?? { id: m.conversationId, peersReadSeq: 0, peersDeliveredSeq: 0 },
          model.self,
        );
        return { message: view, conversationId: m.conversationId };
      });
      return { items, ...(nextPageToken !== "" && { next: () => page(nextPageToken) }) };
    };
    return page("");
  }

  onMessage(arrived: (message: Message, conversation: Conversation) => void): () => void {
    const listener = { call: arrived };
    this.#arrived.add(listener);
    return () => this.#arrived.delete(listener);
  }

  reconnect(): void {
    this.#device.get()?.reconnect();
  }

  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    for (const leave of this.#leave) {
      leave();
    }
    this.#turns = this.#turns.then(async () => {
      await this.#device.get()?.close(false);
      this.#storage.close();
      this.#wire.close();
    });
  }

  // Who is signed in.

  /** Brings this object to what the session says; one turn after the other. */
  #turn(): Promise<void> {
    const turn = this.#turns.then(() => (this.#closed ? undefined : this.#take(this.#session.userId.get())));
    this.#turns = turn.catch(() => undefined);
    return turn;
  }

  async #take(userId: string | undefined | null): Promise<void> {
    const before = this.#device.get();
    if (userId === null || userId === this.#userId) {
      return;
    }
    this.#userId = userId;
    const ended = userId === undefined ? this.#session.ended.get() : undefined;
    const reason = ended === "signed-out" ? undefined : ended;
    this.#device.set(undefined);
    this.account.set(userId === undefined ? { status: "signed-out", ...(reason && { reason }) } : { status: "loading" });
    if (userId !== undefined) {
      await before?.close(true);
      await this.#begin(userId);
      return;
    }
    // Who was signed out by the server is not to see more, but has not given up what was written. Of a session that ran out, or can't be read, all stays.
    const what = ended === "signed-out" ? "all" : ended === "revoked" ? "told" : undefined;
    await before?.close(what !== undefined);
    if (what) {
      await this.#storage.clear(what);
    }
  }

  async #begin(userId: string): Promise<void> {
    const device = new Device({
      userId,
      calls: this.#calls,
      storage: this.#storage,
      notifier: this.#notifier,
      link: (options) => this.#wire.createLink(options),
      shared: this.#shared && { name: `${this.#name}.chat.${userId}`, locks: this.#shared },
      visible: () => this.#surroundings.visible(),
      online: () => this.#surroundings.online(),
      arrived: (message, conversation) => {
        for (const listener of this.#arrived) {
          listener.call(message, conversation);
        }
      },
      account: (account) => this.account.set({ status: "signed-in", account }),
    });
    this.#device.set(device);
    const kept = await device.start();
    if (kept.account) {
      this.account.set({ status: "signed-in", account: kept.account });
      void this.#fetchAccount(device);
    } else {
      await this.#fetchAccount(device);
    }
  }

  async #fetchAccount(device: Device): Promise<void> {
    try {
      this.#gotAccount(device, (await this.#calls.auth.getAccount({})).account);
    } catch (thrown) {
      if (this.account.get().status === "loading" && toChatError(thrown).code !== "unauthenticated") {
        // The session is there, its account could not be read: it is known by its id alone until the next start.
        const user = { id: device.model.self, username: "", displayName: "", avatarUrl: "" };
        this.account.set({ status: "signed-in", account: { user, createTime: 0, presenceHidden: false } });
      }
    }
  }

  #gotAccount(device: Device, w: WireAccount | undefined): void {
    if (w?.user && this.#device.get() === device) {
      const account: Account = { user: toUser(w.user), createTime: millis(w.createTime), presenceHidden: w.presenceHidden };
      device.model.learn(w.user);
      device.setAccount(account);
      this.account.set({ status: "signed-in", account });
    }
  }

  // Helpers.

  #here(): Device {
    const device = this.#device.get();
    if (!device) {
      throw chatError({ code: "unauthenticated", reason: "INVALID_SESSION", message: "nobody is signed in" });
    }
    return device;
  }

  /** The same observable for the same key, so that a view may ask for it each time it is drawn. */
  #follow<T>(key: string, pick: (device: Device) => Observable<T>, otherwise: Observable<T>): Observable<T> {
    let o = this.#observables.get(key) as Observable<T> | undefined;
    if (!o) {
      o = follow(this.#device, () => {
        const device = this.#device.get();
        return device ? pick(device) : otherwise;
      });
      this.#observables.set(key, o);
    }
    return o;
  }

  async #change(answer: Promise<{ message?: WireMessage | undefined }>): Promise<void> {
    this.#device.get()?.model.merge((await answer).message);
  }

  #created(summary: ConversationSummary | undefined): string {
    if (summary) {
      this.#device.get()?.model.summary(summary);
    }
    return summary?.conversation?.id ?? "";
  }
}

function sessionInfo(s: WireSessionInfo): SessionInfo {
  return {
    id: s.id,
    deviceName: s.deviceName,
    address: s.address,
    createTime: millis(s.createTime),
    refreshTime: millis(s.refreshTime),
    expireTime: millis(s.expireTime),
    current: s.current,
  };
}
