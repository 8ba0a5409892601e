import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { SetTypingRequestSchema } from "@natterjack/proto/chat/v1/request_pb.js";
import { type Event, PositionSchema, StreamResponseSchema } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { Account, ConnectionState, Conversation, Message, Timeline } from "./api.js";
import { Fetcher } from "./fetcher.js";
import { Ledger } from "./ledger.js";
import { Marker } from "./marker.js";
import { Model } from "./model/model.js";
import type { Outcome } from "./model/outcome.js";
import { Cell, type Notifier } from "./model/signal.js";
import { soon } from "./observable.js";
import { Outbox } from "./outbox.js";
import type { Kept, Storage } from "./storage.js";
import { type Locks, type TabMessage, Tabs } from "./tabs.js";
import { ChatTimeline } from "./timeline.js";
import { Typist } from "./typist.js";
import type { Calls, Link, LinkOptions } from "./wire.js";

/** Rules of the schema. */
const maxPositions = 100;
const maxWatched = 200;

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
  /** False only where the browser knows that there is no network. */
  online(): boolean;
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
  readonly #ledger: Ledger;
  readonly #fetcher: Fetcher;
  readonly #timelines = new Set<ChatTimeline>();
  readonly #others = new Map<string, { watch: readonly string[]; inUse: boolean }>();
  readonly #drain = () => this.#act(this.model.take());
  #tabs: Tabs | undefined;
  #link: Link | undefined;
  #unlink = () => {};
  #sent = 0;
  /** Of whom, and up to which number, this tab has heard; undefined while it waits for a welcome. */
  #heard: { leader: string; n: number } | undefined;
  /** What came while it waited. */
  #early: { from: string; message: Extract<TabMessage, { kind: "events" }> }[] = [];
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
    this.#ledger = new Ledger(options.storage, options.userId, () => [...this.#timelines].flatMap((t) => t.takeTail() ?? []));
    this.#fetcher = new Fetcher(this.model, options.calls);
    this.typist = new Typist((id, typing) => this.#typing(id, typing));
    this.model.ephemera.onWatch = () => soon(this.#here);
  }

  /** Shows what was kept, and begins; returns what was kept. */
  async start(): Promise<Kept> {
    const kept = await this.#ledger.open();
    this.#restore(kept);
    this.#connect();
    return kept;
  }

  #connect(): void {
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
        void this.#inherit();
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
      await this.#ledger.store();
    }
    this.#ledger.stop();
    this.#tabs?.close();
  }

  openTimeline(conversationId: string): Timeline {
    const timeline = new ChatTimeline(
      {
        model: this.model,
        calls: this.#o.calls,
        notifier: this.#o.notifier,
        live: () => this.#live() && !this.model.catching,
        fetchConversation: (id) => this.#fetcher.conversation(id),
        seen: (messages) => this.outbox.seen(messages.filter((m) => m.senderId === this.#o.userId)),
        tail: (id) => this.#o.storage.tail(id),
        changed: () => {
          this.#settle(conversationId);
          this.#ledger.soon();
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

  markRead(id: string, seq: number): void {
    this.model.markRead(id, seq);
    this.#tabs?.post({ kind: "read", conversationId: id, seq });
  }

  setDraft(id: string, text: string): void {
    this.model.setDraft(id, text);
    this.#tabs?.post({ kind: "draft", conversationId: id, text });
    this.#ledger.noteDraft(id, text);
  }

  setAccount(account: Account): void {
    void this.#o.storage.write(this.#o.userId, { account });
    this.#tabs?.post({ kind: "account", account });
  }

  /** This tab may be shown now, or not any more; the network may have gone, or come. */
  shown(): void {
    this.#connected();
    if (!this.#o.visible()) {
      void this.#ledger.store(); // it may be closed without another word
    }
    this.#here();
  }

  reconnect(): void {
    if (this.#link) {
      if (this.connection.get().status === "stopped") {
        this.#link.start(); // the server has told it to stay away
      }
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
    this.#tabs?.post({ kind: "lead" });
    void this.#begin(link);
  }

  async #begin(link: Link): Promise<void> {
    await this.#ledger.lead(true);
    if (this.#tabs) {
      // The leader before may have stored more than this tab has heard of.
      this.#restore(await this.#ledger.open());
    }
    if (this.#link === link) {
      this.#here();
      link.start();
    }
  }

  /** Takes what a tab that has gone wanted to send: it may have ended after that was kept, and before it was told. */
  async #inherit(): Promise<void> {
    const { outbox } = await this.#ledger.open();
    if (this.#link) {
      this.outbox.restore(outbox.filter((item) => item.state === "waiting"));
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
      void this.#ledger.lead(false);
      this.#join();
    }
  }

  async #hello(): ReturnType<LinkOptions["hello"]> {
    await this.#ledger.store();
    const positions = new Map<string, number>();
    for (const t of this.#timelines) {
      if (t.cursor !== undefined && positions.size < maxPositions) {
        positions.set(t.conversationId, Math.min(t.cursor, positions.get(t.conversationId) ?? t.cursor));
      }
    }
    this.model.asked = positions;
    return {
      token: this.#ledger.token,
      positions: [...positions].map(([conversationId, seq]) => create(PositionSchema, { conversationId, seq: BigInt(seq) })),
    };
  }

  #events(events: readonly Event[]): void {
    if (this.#tabs) {
      const bytes = toBinary(StreamResponseSchema, create(StreamResponseSchema, { events: [...events] }));
      this.#tabs.post({ kind: "events", n: ++this.#sent, bytes });
    }
    this.#apply(events);
  }

  #apply(events: readonly Event[]): void {
    this.model.apply(events);
    this.#drain(); // now: nobody is to see a message beside the same one of the outbox
  }

  #stateChanged(state: ConnectionState, link: Link | undefined): void {
    this.connection.set(state);
    if (this.#link) {
      this.#tabs?.post({ kind: "state", state });
    }
    const live = this.#live();
    this.#connected();
    if (!live) {
      this.model.ephemera.silence();
    }
    this.outbox.connect(live ? link : undefined);
    this.#marker.connect(state.status === "live" ? link : undefined);
    for (const t of this.#timelines) {
      t.check();
    }
    if (state.status === "live") {
      this.#fetcher.again();
    }
  }

  #live(): boolean {
    const { status } = this.connection.get();
    return status === "live" || status === "catching-up";
  }

  /** A connection may not have noticed yet that the network has gone: what is written now waits all the same. */
  #connected(): void {
    this.model.setConnected(this.#live() && this.#o.online());
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
      this.#serve(m, from);
    } else {
      this.#follow(m, from);
    }
  }

  #serve(m: TabMessage, from: string): void {
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
        this.reconnect();
    }
  }

  async #welcome(to: string): Promise<void> {
    const n = this.#sent;
    this.#drain();
    await this.#ledger.store();
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
      case "lead":
        if (this.#heard) {
          this.#here();
        } else {
          this.#join();
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
          this.#apply(fromBinary(StreamResponseSchema, m.bytes).events);
        } else {
          this.#join(); // something was missed
        }
    }
  }

  async #welcomed(m: Extract<TabMessage, { kind: "welcome" }>, from: string): Promise<void> {
    this.#restore(await this.#ledger.open());
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
    this.model.restore(kept.conversations, kept.users);
    for (const [id, text] of kept.drafts) {
      this.model.setDraft(id, text);
    }
    this.outbox.restore(kept.outbox);
    if (kept.token) {
      this.model.loaded.set(true);
    }
  }

  #act(o: Outcome): void {
    if (this.#closed) {
      return;
    }
    this.outbox.seen(o.own.map((i) => i.message));
    this.#fetcher.fetch(o);
    this.#ledger.note(o, this.#fetcher.behind);
    if (this.#link) {
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
  }

  /** The outbox is done with the messages that are shown by themselves. */
  #settle(id: string): void {
    const c = this.model.state(id);
    if (c?.outbox.length) {
      const cursors = [...this.model.pieces.of(id)].filter((p) => p.loaded).map((p) => p.cursor);
      this.outbox.settle(id, Math.min(c.record.lastSeq, ...cursors));
    }
  }
}
