import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { SetTypingRequestSchema } from "@natterjack/proto/chat/v1/request_pb.js";
import { type Event, PositionSchema, StreamResponseSchema } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { Account, ConnectionState, Conversation, Message, Timeline } from "./api.js";
import { Marker } from "./marker.js";
import { Model, type Outcome } from "./model/model.js";
import { type StoredConversation, toMember } from "./model/records.js";
import { Cell, type Notifier } from "./model/signal.js";
import { soon } from "./observable.js";
import { Outbox } from "./outbox.js";
import type { Change, Kept, Storage } from "./storage.js";
import { type Locks, type TabMessage, Tabs } from "./tabs.js";
import { ChatTimeline } from "./timeline.js";
import { Typist } from "./typist.js";
import type { Calls, Link, LinkOptions } from "./wire.js";

/** How long changes gather before they are stored, in milliseconds. */
const storeAfter = 300;
/** Rules of the schema. */
const maxPositions = 100;
const maxWatched = 200;
const maxProfiles = 200;
const memberPage = 500;

export interface DeviceOptions {
  readonly userId: string;
  readonly calls: Calls;
  readonly storage: Storage;
  readonly notifier: Notifier;
  /** Makes the link; it is started and stopped as this tab leads or doesn't. */
  link(options: Pick<LinkOptions, "hello" | "events">): Link;
  /** Names what is shared with other tabs; undefined where there are none. */
  readonly shared: { readonly name: string; readonly locks: Locks } | undefined;
  visible(): boolean;
  /** New messages of others, in one tab only. */
  arrived(message: Message, conversation: Conversation): void;
  /** The account changed in another tab. */
  account(account: Account): void;
}

/**
 * This device, while one user is signed in: the model, what is kept of it, the outbox, and the link, which one of the tabs has. All tabs have a model. What
 * the leader hears it passes on, numbered; a tab that comes later, or has missed a number, begins anew with what is stored.
 */
export class Device {
  readonly model: Model;
  readonly outbox: Outbox;
  readonly connection: Cell<ConnectionState>;
  readonly typist: Typist;

  readonly #o: DeviceOptions;
  readonly #marker: Marker;
  readonly #timelines = new Set<ChatTimeline>();
  readonly #fetching = new Map<string, Promise<void>>();
  readonly #others = new Map<string, { watch: readonly string[]; inUse: boolean }>();
  readonly #drain = () => this.#act(this.model.take());
  #tabs: Tabs | undefined;
  #link: Link | undefined;
  #unlink = () => {};
  #token: Uint8Array | undefined;
  #sent = 0;
  /** Of whom, and up to which number, this tab has heard; undefined while it waits for a welcome. */
  #heard: { leader: string; n: number } | undefined;
  /** What came while it waited. */
  #early: { from: string; message: Extract<TabMessage, { kind: "events" }> }[] = [];
  #pending: { -readonly [K in keyof Change]: Change[K] } = {};
  #records = new Map<string, StoredConversation | undefined>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: DeviceOptions) {
    this.#o = options;
    this.model = new Model(options.userId, options.notifier, () => soon(this.#drain));
    this.connection = new Cell<ConnectionState>(options.notifier, { status: "connecting" });
    this.outbox = new Outbox({
      show: (id, items) => this.model.setOutbox(id, items),
      keep: (changes) => options.storage.write(options.userId, { outbox: changes }),
      tell: (changes) => this.#tabs?.post({ kind: "outbox", changes: [...changes] }),
    });
    this.#marker = new Marker(this.model);
    this.typist = new Typist((id, typing) => this.#typing(id, typing));
    this.model.ephemera.onWatch = () => soon(this.#here);
  }

  /** Shows what was kept, and begins. */
  start(kept: Kept): void {
    this.#restore(kept);
    const { shared } = this.#o;
    if (!shared) {
      this.#lead(true);
      return;
    }
    this.#tabs = new Tabs({
      ...shared,
      visible: () => this.#o.visible(),
      lead: (leads) => this.#lead(leads),
      heard: (message, from) => this.#hear(message, from),
      gone: (tab) => {
        this.#others.delete(tab);
        this.#here();
      },
    });
    this.#join();
  }

  /** Ends; what is not stored yet is stored unless it is to be forgotten. */
  async close(forget: boolean): Promise<void> {
    this.#closed = true;
    for (const timeline of [...this.#timelines]) {
      timeline.close();
    }
    this.typist.close();
    this.outbox.connect(undefined);
    this.#marker.connect(undefined);
    this.model.ephemera.silence();
    this.#stopLink();
    if (!forget) {
      await this.#store();
    }
    clearTimeout(this.#timer);
    this.#tabs?.close();
  }

  openTimeline(conversationId: string): Timeline {
    const timeline = new ChatTimeline(
      {
        model: this.model,
        calls: this.#o.calls,
        notifier: this.#o.notifier,
        live: () => this.#live() && !this.model.catching,
        fetchConversation: (id) => this.fetchConversation(id),
        seen: (messages) => this.outbox.seen(messages.filter((m) => m.senderId === this.#o.userId)),
        tail: (id) => this.#o.storage.tail(id),
        changed: () => {
          this.#settle(conversationId);
          this.#storeSoon();
        },
        closed: (t, tail) => {
          this.#timelines.delete(t);
          if (tail) {
            void this.#o.storage.write(this.#o.userId, { tails: [tail] });
          }
          this.#settle(conversationId);
        },
      },
      conversationId,
    );
    this.#timelines.add(timeline);
    return timeline;
  }

  /** Fetches a conversation's summary; calls for the same one share the answer. */
  fetchConversation(id: string): Promise<void> {
    let fetching = this.#fetching.get(id);
    if (!fetching) {
      fetching = this.#fetchConversation(id).finally(() => this.#fetching.delete(id));
      this.#fetching.set(id, fetching);
    }
    return fetching;
  }

  async #fetchConversation(id: string): Promise<void> {
    const { summary } = await this.#o.calls.chat.getConversation({ conversationId: id });
    if (summary) {
      this.model.summary(summary);
    }
  }

  markRead(id: string, seq: number): void {
    this.model.markRead(id, seq);
    this.#tabs?.post({ kind: "read", conversationId: id, seq });
  }

  setDraft(id: string, text: string): void {
    this.model.setDraft(id, text);
    this.#tabs?.post({ kind: "draft", conversationId: id, text });
    this.#pending.drafts = new Map([...(this.#pending.drafts ?? []), [id, text === "" ? undefined : text]]);
    this.#storeSoon();
  }

  setAccount(account: Account): void {
    void this.#o.storage.write(this.#o.userId, { account });
    this.#tabs?.post({ kind: "account", account });
  }

  /** Tells whether this tab is shown. */
  shown(): void {
    this.#here();
  }

  reconnect(): void {
    if (this.#link) {
      this.#link.reconnect();
    } else {
      this.#tabs?.post({ kind: "reconnect" });
    }
  }

  // The lead.

  #lead(leads: boolean): void {
    if (this.#closed || !leads) {
      this.#stopLink();
      return;
    }
    this.#sent = 0;
    this.#heard = undefined;
    const link = this.#o.link({ hello: () => this.#hello(), events: (events) => this.#events(events) });
    this.#link = link;
    this.#unlink = link.state.subscribe(() => this.#stateChanged(link.state.get(), link));
    void this.#begin(link);
  }

  /** The leader before may have stored more than this tab has heard of. */
  async #begin(link: Link): Promise<void> {
    if (this.#tabs) {
      this.#restore(await this.#o.storage.open(this.#o.userId));
    }
    if (this.#link === link) {
      this.#here();
      link.start();
    }
  }

  #stopLink(): void {
    this.#unlink();
    this.#unlink = () => {};
    this.#link?.stop();
    this.#link = undefined;
    this.outbox.connect(undefined);
    this.#marker.connect(undefined);
    if (!this.#closed) {
      this.#join();
    }
  }

  async #hello(): ReturnType<LinkOptions["hello"]> {
    await this.#store();
    const positions = new Map<string, bigint>();
    for (const t of this.#timelines) {
      if (t.cursor !== undefined && positions.size < maxPositions) {
        const before = positions.get(t.conversationId);
        const cursor = BigInt(t.cursor);
        positions.set(t.conversationId, before !== undefined && before < cursor ? before : cursor);
      }
    }
    return {
      token: this.#token ?? new Uint8Array(),
      positions: [...positions].map(([conversationId, seq]) => create(PositionSchema, { conversationId, seq })),
    };
  }

  #events(events: readonly Event[]): void {
    if (this.#tabs) {
      const bytes = toBinary(StreamResponseSchema, create(StreamResponseSchema, { events: [...events] }));
      this.#tabs.post({ kind: "events", n: ++this.#sent, bytes });
    }
    this.model.apply(events);
  }

  #stateChanged(state: ConnectionState, link: Link | undefined): void {
    this.connection.set(state);
    if (this.#link) {
      this.#tabs?.post({ kind: "state", state });
    }
    const live = this.#live();
    this.model.setConnected(live);
    if (!live) {
      this.model.ephemera.silence();
    }
    this.outbox.connect(live ? link : undefined);
    this.#marker.connect(state.status === "live" ? link : undefined);
    for (const t of this.#timelines) {
      t.check();
    }
  }

  #live(): boolean {
    const { status } = this.connection.get();
    return status === "live" || status === "catching-up";
  }

  /** Says what this tab looks at, and whether it is shown. */
  readonly #here = () => {
    if (this.#closed) {
      return;
    }
    const mine = { watch: this.model.ephemera.watched(), inUse: this.#o.visible() };
    if (!this.#link) {
      this.#tabs?.post({ kind: "here", ...mine });
      return;
    }
    const all = [mine, ...this.#others.values()];
    this.#link.watch([...new Set(all.flatMap((t) => t.watch))].slice(0, maxWatched));
    if (this.#tabs) {
      this.#link.setInUse(all.some((t) => t.inUse));
    }
  };

  #typing(conversationId: string, typing: boolean): void {
    if (this.#link) {
      const value = create(SetTypingRequestSchema, { conversationId, typing });
      this.#link.say({ case: "typing", value }).catch(() => undefined); // it is over by the time it could be said again
    } else {
      this.#tabs?.post({ kind: "typing", conversationId, typing });
    }
  }

  // Other tabs.

  #join(): void {
    this.#heard = undefined;
    this.#early = [];
    this.#tabs?.post({ kind: "join" });
    this.#here();
  }

  #hear(m: TabMessage, from: string): void {
    switch (m.kind) {
      case "outbox":
        this.outbox.take(new Map(m.changes));
        return;
      case "read":
        this.model.markRead(m.conversationId, m.seq);
        return;
      case "draft":
        this.model.setDraft(m.conversationId, m.text);
        return;
      case "account":
        this.#o.account(m.account);
        return;
    }
    if (this.#link) {
      this.#serve(m, from, this.#link);
    } else {
      this.#follow(m, from);
    }
  }

  #serve(m: TabMessage, from: string, link: Link): void {
    switch (m.kind) {
      case "join":
        void this.#welcome(from);
        return;
      case "here":
        this.#others.set(from, m);
        this.#here();
        return;
      case "typing":
        this.#typing(m.conversationId, m.typing);
        return;
      case "reconnect":
        link.reconnect();
    }
  }

  async #welcome(to: string): Promise<void> {
    const n = this.#sent;
    this.#drain();
    await this.#store();
    const presences = this.model.ephemera.presences();
    this.#tabs?.post({ kind: "welcome", to, n, state: this.connection.get(), presences });
  }

  #follow(m: TabMessage, from: string): void {
    switch (m.kind) {
      case "welcome":
        if (m.to === this.#tabs?.id) {
          void this.#welcomed(m, from);
        }
        return;
      case "state":
        this.#stateChanged(m.state, undefined);
        return;
      case "events":
        if (!this.#heard) {
          this.#early.push({ from, message: m });
        } else if (m.n === (this.#heard.leader === from ? this.#heard.n : 0) + 1) {
          this.#heard = { leader: from, n: m.n };
          this.model.apply(fromBinary(StreamResponseSchema, m.bytes).events);
        } else {
          this.#join(); // something was missed
        }
    }
  }

  async #welcomed(m: Extract<TabMessage, { kind: "welcome" }>, from: string): Promise<void> {
    this.#restore(await this.#o.storage.open(this.#o.userId));
    if (this.#link || this.#closed) {
      return;
    }
    this.#heard = { leader: from, n: m.n };
    for (const [id, p] of m.presences) {
      this.model.ephemera.setPresence(id, p);
    }
    this.#stateChanged(m.state, undefined);
    if (m.state.status === "live") {
      this.model.loaded.set(true);
    }
    const early = this.#early.filter((e) => e.from === from && e.message.n > m.n);
    this.#early = [];
    for (const e of early) {
      this.#follow(e.message, e.from);
    }
    this.#here();
  }

  // What the model wants.

  #restore(kept: Kept): void {
    this.#token = kept.token;
    this.model.restore(kept.conversations, kept.users);
    for (const [id, text] of kept.drafts) {
      this.model.setDraft(id, text);
    }
    this.outbox.take(new Map(kept.outbox.map((i) => [i.id, i])));
    if (kept.token) {
      this.model.loaded.set(true);
    }
  }

  #act(o: Outcome): void {
    if (this.#closed) {
      return;
    }
    this.outbox.seen(o.own.map((i) => i.message));
    if (this.#link) {
      this.#keep(o);
      for (const { message, conversation } of o.arrived) {
        this.#o.arrived(message, conversation);
      }
      if (o.reset) {
        this.outbox.reassert();
      }
    }
    for (const [id, record] of o.records) {
      if (record) {
        this.#marker.touch(record);
        this.#settle(id);
      }
    }
    for (const id of o.refetch) {
      this.fetchConversation(id).catch(() => undefined); // it comes with the next event, or the next connection
    }
    for (const id of o.members) {
      void this.#fetchMembers(id);
    }
    if (o.profiles.size > 0) {
      void this.#fetchProfiles([...o.profiles]);
    }
  }

  /** The outbox is done with the messages that are shown by themselves. */
  #settle(id: string): void {
    const c = this.model.state(id);
    if (c?.outbox.length) {
      const cursors = [...c.pieces].filter((p) => p.loaded).map((p) => p.cursor);
      this.outbox.settle(id, Math.min(c.record.lastSeq, ...cursors));
    }
  }

  #keep(o: Outcome): void {
    if (o.reset) {
      const { drafts } = this.#pending;
      this.#pending = { reset: true, ...(drafts && { drafts }) };
      this.#records = new Map();
      this.#token = undefined;
    }
    for (const [id, record] of o.records) {
      this.#records.set(id, record);
    }
    if (o.users.size > 0) {
      this.#pending.users = new Map([...(this.#pending.users ?? []), ...o.users]);
    }
    if (o.token) {
      this.#pending.token = o.token;
    }
    this.#storeSoon();
  }

  #storeSoon(): void {
    this.#timer ??= setTimeout(() => void this.#store(), storeAfter);
  }

  /** Stores what has changed: the token together with all that came before it. */
  #store(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const tails = [...this.#timelines].flatMap((t) => t.tail() ?? []);
    const change: Change = { ...this.#pending, conversations: this.#records, tails };
    this.#pending = {};
    this.#records = new Map();
    this.#writing = this.#o.storage.write(this.#o.userId, change).then(() => {
      this.#token = change.token ?? this.#token;
    });
    return this.#writing;
  }

  async #fetchMembers(id: string): Promise<void> {
    this.model.readMembers(id, undefined);
    try {
      const members = [];
      let pageToken = "";
      do {
        const page = await this.#o.calls.chat.listMembers({ conversationId: id, pageSize: memberPage, pageToken });
        for (const m of page.members) {
          if (m.user) {
            this.model.learn(m.user);
          }
          members.push(toMember(m));
        }
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      this.model.readMembers(id, members);
    } catch {
      // Tried again when the connection is back, see stateChanged.
    }
  }

  async #fetchProfiles(ids: readonly string[]): Promise<void> {
    for (let i = 0; i < ids.length; i += maxProfiles) {
      try {
        const { users } = await this.#o.calls.chat.getUsers({ userIds: ids.slice(i, i + maxProfiles) });
        for (const u of users) {
          this.model.learn(u);
        }
      } catch {
        return; // without names for now
      }
    }
  }
}
