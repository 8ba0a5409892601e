import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type {
  ConversationSummary,
  Conversation as WireConversation,
  Receipt as WireReceipt,
} from "@natterjack/proto/chat/v1/conversation_pb.js";
import type { Message as WireMessage } from "@natterjack/proto/chat/v1/message_pb.js";
import type { Event, MembersChanged } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { User as WireUser } from "@natterjack/proto/chat/v1/user_pb.js";
import type { Conversation, Observable, User } from "../api.js";
import { ConversationState, MemberList } from "./conversation.js";
import { Ephemera } from "./ephemera.js";
import { hear } from "./hear.js";
import { Ordered } from "./ordered.js";
import { type Outcome, Wants } from "./outcome.js";
import { People } from "./people.js";
import { Pieces } from "./pieces.js";
import {
  type Marks,
  millis,
  type OutboxItem,
  type StoredConversation,
  type StoredMember,
  type StoredMessage,
  toConversation,
  toMarks,
  toMessage,
  toUser,
} from "./records.js";
import { Cell, type Notifier, Signal } from "./signal.js";

/**
 * All that is known on this device, as observables. It takes what the server says, event by event, and what it answered; it does no I/O, and what it
 * wants of the world is in its {@link Outcome}.
 */
export class Model {
  readonly self: string;
  readonly conversations: Signal<readonly Conversation[]>;
  readonly loaded: Cell<boolean>;
  readonly waiting: Signal<number>;
  readonly ephemera: Ephemera;
  readonly people: People;
  readonly pieces: Pieces;
  /** Between ready and caught_up: what is missing may be about to come by itself. */
  catching = false;
  /** The positions that the present stream was asked to go on from. */
  asked: ReadonlyMap<string, number> = new Map();

  readonly #notifier: Notifier;
  readonly #wants: Wants;
  readonly #now: () => number;
  readonly #states = new Map<string, ConversationState>();
  readonly #order = new Ordered<ConversationState>(
    (c) => c.time,
    (c) => c.record.id,
  );
  readonly #peers = new Map<string, ConversationState>();
  readonly #signals = new Map<string, Signal<Conversation | undefined>>();
  readonly #drafts = new Map<string, string>();
  readonly #outbox = new Map<string, readonly OutboxItem[]>();
  #connected = false;
  #ahead = 0; // how much the server's clock is ahead of ours
  /** Conversations that the own user is known not to be in any more: the server has nothing to say about them. */
  readonly #gone = new Set<string>();

  /** `wanted` is called when there is something to {@link take}. */
  constructor(self: string, notifier: Notifier, wanted: () => void, now: () => number = Date.now) {
    this.self = self;
    this.#notifier = notifier;
    this.#wants = new Wants(wanted);
    this.#now = now;
    this.loaded = new Cell(notifier, false);
    this.conversations = new Signal<readonly Conversation[]>(notifier, () => this.#order.items().map((c) => c.view()));
    this.waiting = new Signal(notifier, () => {
      let n = 0;
      for (const items of this.#outbox.values()) {
        n += items.filter((i) => i.state === "waiting").length;
      }
      return n;
    });
    this.pieces = new Pieces(self, (id) => this.#states.get(id)?.record);
    this.people = new People(notifier, {
      state: (id) => this.#states.get(id),
      want: (id) => this.#want((o) => o.profiles.add(id)),
      wantMembers: (id) => this.#want((o) => o.members.add(id)),
      changed: (u) => {
        this.ephemera.userChanged();
        this.#peers.get(u.id)?.invalidate();
      },
    });
    this.ephemera = new Ephemera(notifier, (id) => this.people.profile(id));
  }

  take(): Outcome {
    return this.#wants.take();
  }

  // What is there.

  state(id: string): ConversationState | undefined {
    return this.#states.get(id);
  }

  states(): Iterable<ConversationState> {
    return this.#states.values();
  }

  get size(): number {
    return this.#states.size;
  }

  conversation(id: string): Observable<Conversation | undefined> {
    let s = this.#signals.get(id);
    if (!s) {
      s = new Signal<Conversation | undefined>(this.#notifier, () => this.#states.get(id)?.view());
      this.#signals.set(id, s);
    }
    return s;
  }

  // What was kept.

  restore(records: Iterable<StoredConversation>, users: Iterable<User>): void {
    for (const u of users) {
      if (!this.people.get(u.id)) {
        this.people.learn(u);
      }
    }
    for (const r of records) {
      const c = this.#states.get(r.id);
      if (c) {
        c.summary(r);
      } else {
        this.#add(r);
      }
    }
  }

  setDraft(id: string, text: string): void {
    this.#drafts.set(id, text);
    const c = this.#states.get(id);
    if (c && c.draft !== text) {
      c.draft = text;
      c.invalidate();
    }
  }

  /** Replaces what the outbox has for one conversation. */
  setOutbox(id: string, items: readonly OutboxItem[]): void {
    if (items.length === 0) {
      this.#outbox.delete(id);
    } else {
      this.#outbox.set(id, items);
    }
    this.waiting.invalidate();
    const c = this.#states.get(id);
    if (c) {
      c.outbox = items;
      c.invalidate();
      this.pieces.tell(id);
    }
  }

  setConnected(connected: boolean): void {
    if (connected !== this.#connected) {
      this.#connected = connected;
      for (const [id, items] of this.#outbox) {
        this.setOutbox(id, items);
      }
    }
  }

  // What the server says.

  apply(events: readonly Event[]): void {
    for (const e of events) {
      hear(this, e);
    }
  }

  /** A stream has begun, and tells what was missed; `reset`: all that was kept is of a store that is no more. */
  ready(serverTime: Timestamp | undefined, reset: boolean): void {
    this.#ahead = serverTime ? millis(serverTime) - this.#now() : 0;
    this.catching = true;
    if (reset) {
      this.reset();
    }
  }

  /** Takes an event of a conversation's log. */
  durable(e: Event): void {
    const seq = Number(e.seq);
    const c = this.#states.get(e.conversationId);
    if (!c) {
      if (!this.#gone.has(e.conversationId) || this.#joins(e)) {
        this.#want((o) => o.refetch.add(e.conversationId)); // joined, and the summary is on its way
      }
      return;
    }
    const message = e.event.case === "message" ? toMessage(e.event.value) : undefined;
    this.mine(e.conversationId, message);
    for (const piece of this.pieces.of(e.conversationId)) {
      piece.event(seq, message);
    }
    if (seq === c.record.lastSeq + 1) {
      this.#next(c, e);
    } else if (seq > c.record.lastSeq) {
      c.hold(e);
      this.#want((o) => o.refetch.add(e.conversationId));
    }
  }

  /** Whether an event says that the own user is a member (again). */
  #joins({ event }: Event): boolean {
    return event.case === "members" && event.value.members.some((m) => m.user?.id === this.self && m.leftSeq === 0n);
  }

  /** Takes the event after the last one of a conversation's record. */
  #next(c: ConversationState, e: Event): void {
    const seq = Number(e.seq);
    const message = e.event.case === "message" ? toMessage(e.event.value) : undefined;
    if (e.event.case === "members" && !this.#membersChanged(c, seq, e.event.value)) {
      return;
    }
    const arrived = c.event(seq, message, this.#now() + this.#ahead);
    if (e.event.case === "conversation") {
      this.#renamed(c, e.event.value);
    }
    if (arrived && message) {
      this.ephemera.type(c.record.id, message.senderId, false);
      this.#arrived(c);
    }
  }

  #membersChanged(c: ConversationState, seq: number, change: MembersChanged): boolean {
    for (const m of change.members) {
      if (m.user) {
        this.learn(m.user);
      }
    }
    c.members?.change(change);
    this.people.membersChanged(c.record.id);
    if (!c.memberChange(seq, change)) {
      this.drop(c.record.id);
      return false;
    }
    return true;
  }

  #renamed(c: ConversationState, w: WireConversation): void {
    c.set({ ...c.record, title: w.title, changedSeq: Number(w.changedSeq) });
  }

  #arrived(c: ConversationState): void {
    const conversation = c.view();
    const m = c.record.lastMessage;
    if (m && m.senderId !== this.self && !m.deleted) {
      this.#want((o) => o.arrived.push({ message: c.messageView(m), conversation }));
    }
  }

  /** Takes the state of a conversation; `live` where the events after it come by themselves. */
  summary(s: ConversationSummary, live = true): void {
    const id = s.conversation?.id ?? "";
    if (id === "" || (s.self && s.self.leftSeq !== 0n)) {
      this.drop(id);
      return;
    }
    for (const u of [s.peer, s.self?.user]) {
      if (u) {
        this.learn(u);
      }
    }
    const record = toConversation(s);
    this.mine(id, record.lastMessage);
    const c = this.#states.get(id);
    if (!c) {
      this.#add(record);
      this.#dirty(id, record);
      return;
    }
    const before = c.record;
    c.summary(record);
    if (record.lastSeq > before.lastSeq) {
      if ((record.lastMessage?.seq ?? 0) > (before.lastMessage?.seq ?? 0)) {
        this.#arrived(c);
      }
      this.#missed(c, record.lastSeq, live);
      for (let e = c.held(); e && this.#states.get(id) === c; e = c.held()) {
        this.#next(c, e);
      }
    }
  }

  /** Events up to `head` exist that were not told one by one. */
  #missed(c: ConversationState, head: number, live: boolean): void {
    const { id } = c.record;
    this.pieces.heardOf(id, head);
    if (c.members) {
      c.members.begin();
      this.people.wanted(id, c.members);
    }
    if (live) {
      this.pieces.tell(id);
    }
  }

  receipt(r: WireReceipt): void {
    this.marks(r.conversationId, toMarks(r), true);
  }

  marks(id: string, m: Marks, said: boolean): void {
    const c = this.#states.get(id);
    if (c && !c.marks(m, said)) {
      this.#want((o) => o.refetch.add(id));
    }
  }

  /** Everything up to a place was shown on this device. */
  markRead(id: string, seq: number): void {
    const c = this.#states.get(id);
    const to = Math.min(seq, c?.record.lastSeq ?? 0);
    if (c && to > c.record.own.readSeq) {
      this.marks(id, { userId: this.self, readSeq: to, deliveredSeq: to, readTime: this.#now() + this.#ahead }, false);
    }
  }

  /** Events of a conversation up to `head` exist that are not told; 0: there is no such conversation any more. */
  resync(id: string, head: number): void {
    const c = this.#states.get(id);
    if (head === 0) {
      this.drop(id);
      return;
    }
    if (!c) {
      this.#want((o) => o.refetch.add(id));
      return;
    }
    if (this.catching && head < (this.asked.get(id) ?? 0)) {
      // The log has lost its end: what was told is no longer true.
      this.#forget(id);
      this.#want((o) => o.refetch.add(id));
      return;
    }
    if (head > c.record.lastSeq) {
      this.#want((o) => o.refetch.add(id));
    }
    this.#missed(c, head, !this.catching);
  }

  /** All before the token was told. */
  caughtUp(token: Uint8Array): void {
    this.#want((o) => {
      o.token = token;
    });
    if (this.catching) {
      this.catching = false;
      this.loaded.set(true);
      this.pieces.tell();
    }
  }

  /** Takes events that were fetched because they were missing; pieces alone miss events. */
  fetched(events: readonly Event[]): void {
    for (const e of events) {
      const message = e.event.case === "message" ? toMessage(e.event.value) : undefined;
      for (const piece of this.pieces.of(e.conversationId)) {
        piece.event(Number(e.seq), message);
      }
    }
  }

  /** Takes note of a message, if it is one's own. */
  mine(conversationId: string, message: StoredMessage | undefined): void {
    if (message?.senderId === this.self) {
      this.#want((o) => o.own.push({ conversationId, message }));
    }
  }

  /** Takes a message from an answer. */
  merge(w: WireMessage | undefined): void {
    if (w) {
      const m = toMessage(w);
      this.#states.get(w.conversationId)?.merge(m);
      for (const piece of this.pieces.of(w.conversationId)) {
        piece.merge(m);
      }
    }
  }

  /** Takes the public face of a user. */
  learn(w: WireUser): void {
    const u = toUser(w);
    if (this.people.learn(u)) {
      this.#want((o) => o.users.set(u.id, u));
    }
  }

  /** Begins to take the members of a conversation: what changes from now on is part of them. */
  beginMembers(id: string): void {
    const c = this.#states.get(id);
    if (c) {
      c.members ??= new MemberList();
      c.members.begin();
    }
  }

  readMembers(id: string, members: readonly StoredMember[]): void {
    this.#states.get(id)?.members?.read(members);
    this.people.membersChanged(id);
  }

  /** Whether the own user is known not to be in a conversation any more. */
  gone(id: string): boolean {
    return this.#gone.has(id);
  }

  /** Forgets a conversation in which the own user is not any more. The pieces of it that are open wait for it to come back. */
  drop(id: string): void {
    this.#gone.add(id);
    this.#forget(id);
  }

  #forget(id: string): void {
    const c = this.#states.get(id);
    if (!c) {
      return;
    }
    this.#states.delete(id);
    this.#order.delete(c);
    if (c.record.peerId !== "") {
      this.#peers.delete(c.record.peerId);
    }
    for (const piece of this.pieces.of(id)) {
      piece.reset();
    }
    this.people.membersChanged(id);
    this.#want((o) => o.records.set(id, undefined));
    this.#invalidated(id);
  }

  /** Forgets all conversations. */
  reset(): void {
    this.#gone.clear();
    for (const id of [...this.#states.keys()]) {
      this.#forget(id);
    }
    this.#want((o) => {
      o.reset = true;
      o.refetch.clear();
      o.arrived = [];
    });
  }

  #add(record: StoredConversation): void {
    const around = { self: this.self, connected: () => this.#connected, user: (id: string) => this.people.get(id) };
    const c = new ConversationState(
      record,
      () => this.pieces.of(record.id),
      around,
      (changed) => this.#changed(changed),
    );
    c.draft = this.#drafts.get(record.id) ?? "";
    c.outbox = this.#outbox.get(record.id) ?? [];
    this.#states.set(record.id, c);
    this.#gone.delete(record.id);
    if (record.peerId !== "") {
      this.#peers.set(record.peerId, c);
    }
    this.#order.put(c);
    this.pieces.heardOf(record.id, record.lastSeq);
    for (const piece of this.pieces.of(record.id)) {
      piece.refresh(0, record.lastSeq);
    }
    this.people.wanted(record.id, undefined);
    this.pieces.tell(record.id);
    this.#invalidated(record.id);
  }

  #changed(c: ConversationState): void {
    this.#order.put(c);
    this.#dirty(c.record.id, c.record);
    this.#invalidated(c.record.id);
  }

  #invalidated(id: string): void {
    this.conversations.invalidate();
    this.#signals.get(id)?.invalidate();
  }

  #dirty(id: string, record: StoredConversation): void {
    this.#want((o) => o.records.set(id, record));
  }

  #want(add: (o: Outcome) => void): void {
    this.#wants.add(add);
  }
}
