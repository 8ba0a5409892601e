import type {
  ConversationSummary,
  Conversation as WireConversation,
  Receipt as WireReceipt,
} from "@natterjack/proto/chat/v1/conversation_pb.js";
import type { Message as WireMessage } from "@natterjack/proto/chat/v1/message_pb.js";
import { type Event, type MembersChanged, ResumeKind } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { User as WireUser } from "@natterjack/proto/chat/v1/user_pb.js";
import type { Conversation, Member, Message, Observable, User } from "../api.js";
import { ConversationState, MemberList } from "./conversation.js";
import { Ephemera } from "./ephemera.js";
import { Ordered } from "./ordered.js";
import { Piece } from "./piece.js";
import {
  type Marks,
  millis,
  type OutboxItem,
  type StoredConversation,
  type StoredMember,
  type StoredMessage,
  sameUser,
  toConversation,
  toMarks,
  toMessage,
  toPresence,
  toUser,
} from "./records.js";
import { Cell, type Notifier, Signal } from "./signal.js";
import { messageView } from "./view.js";

/** What has happened that the model can't act on by itself; taken with {@link Model.take}. */
export interface Outcome {
  /** The conversations whose records are to be stored; undefined: to be forgotten. */
  records: Map<string, StoredConversation | undefined>;
  users: Map<string, User>;
  /** Where to resume, once all of the above is stored. */
  token: Uint8Array | undefined;
  /** All that was kept is of a store that is no more. */
  reset: boolean;
  /** Conversations whose summaries are to be fetched. */
  refetch: Set<string>;
  /** Users whose profiles are to be fetched. */
  profiles: Set<string>;
  /** Conversations whose members are to be fetched. */
  members: Set<string>;
  /** Messages of one's own that the server has: the outbox is done with them. */
  own: { conversationId: string; message: StoredMessage }[];
  /** New messages of others. */
  arrived: { message: Message; conversation: Conversation }[];
}

/** Stands for a conversation that is not known: nobody has read anything in it. */
function strange(id: string) {
  return { id, peersReadSeq: 0, peersDeliveredSeq: 0 };
}

function nothing(): Outcome {
  return {
    records: new Map(),
    users: new Map(),
    token: undefined,
    reset: false,
    refetch: new Set(),
    profiles: new Set(),
    members: new Set(),
    own: [],
    arrived: [],
  };
}

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
  /** Between ready and caught_up: what is missing may be about to come by itself. */
  catching = false;

  readonly #notifier: Notifier;
  readonly #wanted: () => void;
  readonly #now: () => number;
  readonly #states = new Map<string, ConversationState>();
  readonly #order = new Ordered<ConversationState>(
    (c) => c.time,
    (c) => c.record.id,
  );
  readonly #users = new Map<string, User>();
  readonly #peers = new Map<string, ConversationState>();
  readonly #signals = {
    conversations: new Map<string, Signal<Conversation | undefined>>(),
    users: new Map<string, Signal<User | undefined>>(),
    members: new Map<string, Signal<readonly Member[] | undefined>>(),
  };
  readonly #drafts = new Map<string, string>();
  readonly #outbox = new Map<string, readonly OutboxItem[]>();
  readonly #onPiece = new WeakMap<Piece, () => void>();
  /** Pieces that are open while their conversation is not known. */
  readonly #left = new Map<string, Set<Piece>>();
  #connected = false;
  #ahead = 0; // how much the server's clock is ahead of ours
  #outcome = nothing();

  /** `wanted` is called when there is something to {@link take}. */
  constructor(self: string, notifier: Notifier, wanted: () => void, now: () => number = Date.now) {
    this.self = self;
    this.#notifier = notifier;
    this.#wanted = wanted;
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
    this.ephemera = new Ephemera(notifier, (id) => this.profile(id));
  }

  take(): Outcome {
    const outcome = this.#outcome;
    this.#outcome = nothing();
    return outcome;
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
    return this.#signal(this.#signals.conversations, id, () => new Signal(this.#notifier, () => this.#states.get(id)?.view()));
  }

  /** Wanted from the server when it is first subscribed to and not known. */
  user(id: string): Observable<User | undefined> {
    return this.#signal(this.#signals.users, id, () => {
      const begin = () => this.#users.has(id) || this.#want((o) => o.profiles.add(id));
      return new Signal(this.#notifier, () => this.#users.get(id), { begin });
    });
  }

  /** A user, if need be one of whom nothing is known but the id. */
  profile(id: string): User {
    const known = this.#users.get(id);
    if (!known) {
      this.#want((o) => o.profiles.add(id));
    }
    return known ?? { id, username: "", displayName: "", avatarUrl: "" };
  }

  members(id: string): Observable<readonly Member[] | undefined> {
    const compute = () => this.#states.get(id)?.members?.view((u) => this.#users.get(u));
    const begin = () => {
      const c = this.#states.get(id);
      if (c && !c.members) {
        c.members = new MemberList();
        this.#want((o) => o.members.add(id));
      }
    };
    return this.#signal(this.#signals.members, id, () => new Signal(this.#notifier, compute, { begin }));
  }

  // What was kept.

  restore(records: Iterable<StoredConversation>, users: Iterable<User>): void {
    for (const u of users) {
      if (!this.#users.has(u.id)) {
        this.#setUser(u);
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
      this.#piecesChanged(c);
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
      this.#event(e);
    }
  }

  #event(e: Event): void {
    switch (e.event.case) {
      case "ready":
        this.#ahead = e.event.value.serverTime ? millis(e.event.value.serverTime) - this.#now() : 0;
        this.catching = true;
        if (e.event.value.resumeKind === ResumeKind.RESET) {
          this.reset();
        }
        return;
      case "summary":
        this.summary(e.event.value, !this.catching);
        return;
      case "receipt":
        this.receipt(e.event.value);
        return;
      case "typing":
        this.ephemera.type(e.event.value.conversationId, e.event.value.userId, e.event.value.typing);
        return;
      case "presence":
        this.ephemera.setPresence(e.event.value.userId, toPresence(e.event.value));
        return;
      case "resync":
        this.#resync(e.event.value.conversationId, Number(e.event.value.lastSeq));
        return;
      case "caughtUp":
        this.#caughtUp(e.event.value.token);
        return;
      default:
        if (e.seq > 0n && e.conversationId !== "") {
          this.#durable(e);
        }
    }
  }

  #durable(e: Event): void {
    const seq = Number(e.seq);
    const c = this.#states.get(e.conversationId);
    if (!c) {
      this.#want((o) => o.refetch.add(e.conversationId)); // joined, and the summary is on its way
      return;
    }
    const message = e.event.case === "message" ? toMessage(e.event.value) : undefined;
    if (seq > c.record.lastSeq + 1) {
      this.#want((o) => o.refetch.add(c.record.id));
    }
    const next = seq > c.record.lastSeq;
    if (e.event.case === "members" && !this.#membersChanged(c, seq, e.event.value, next)) {
      return;
    }
    const arrived = c.event(seq, message, this.#now() + this.#ahead);
    if (next && e.event.case === "conversation") {
      this.#renamed(c, e.event.value);
    }
    this.mine(c.record.id, message);
    for (const piece of c.pieces) {
      piece.event(seq, message);
    }
    if (arrived && message) {
      this.ephemera.type(c.record.id, message.senderId, false);
      this.#arrived(c);
    }
  }

  #membersChanged(c: ConversationState, seq: number, change: MembersChanged, next: boolean): boolean {
    for (const m of change.members) {
      if (m.user) {
        this.learn(m.user);
      }
    }
    if (!next) {
      return true;
    }
    c.members?.change(change);
    this.#signals.members.get(c.record.id)?.invalidate();
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
    }
  }

  /** Events up to `head` exist that were not told one by one. */
  #missed(c: ConversationState, head: number, live: boolean): void {
    for (const piece of c.pieces) {
      piece.known = Math.max(piece.known, head);
    }
    if (c.members) {
      this.#want((o) => o.members.add(c.record.id));
    }
    if (live && c.pieces.size > 0) {
      this.#piecesChanged(c);
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

  #resync(id: string, head: number): void {
    const c = this.#states.get(id);
    if (head === 0) {
      this.drop(id);
      return;
    }
    if (!c) {
      this.#want((o) => o.refetch.add(id));
      return;
    }
    if (head < c.record.lastSeq) {
      // the log has lost its end: what was told is no longer true
      this.drop(id);
      this.#want((o) => o.refetch.add(id));
      return;
    }
    if (head > c.record.lastSeq) {
      this.#want((o) => o.refetch.add(id));
    }
    this.#missed(c, head, !this.catching);
  }

  #caughtUp(token: Uint8Array): void {
    this.#want((o) => {
      o.token = token;
    });
    if (this.catching) {
      this.catching = false;
      this.loaded.set(true);
      for (const c of this.#states.values()) {
        if (c.pieces.size > 0) {
          this.#piecesChanged(c);
        }
      }
    }
  }

  /** Takes events that were fetched because they were missing; pieces alone miss events. */
  fetched(events: readonly Event[]): void {
    for (const e of events) {
      const message = e.event.case === "message" ? toMessage(e.event.value) : undefined;
      for (const piece of this.#states.get(e.conversationId)?.pieces ?? []) {
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
      this.#states.get(w.conversationId)?.merge(toMessage(w));
    }
  }

  /** Takes the public face of a user. */
  learn(w: WireUser): void {
    this.learnUser(toUser(w));
  }

  learnUser(u: User): void {
    if (!sameUser(this.#users.get(u.id), u)) {
      this.#setUser(u);
      this.#want((o) => o.users.set(u.id, u));
    }
  }

  readMembers(id: string, members: readonly StoredMember[] | undefined): void {
    const c = this.#states.get(id);
    if (!c?.members) {
      return;
    }
    if (members) {
      c.members.read(members);
    } else {
      c.members.begin();
    }
    this.#signals.members.get(id)?.invalidate();
  }

  /** Forgets a conversation. The pieces of it that are open wait for it to come back. */
  drop(id: string): void {
    const c = this.#states.get(id);
    if (!c) {
      return;
    }
    this.#states.delete(id);
    this.#order.delete(c);
    if (c.record.peerId !== "") {
      this.#peers.delete(c.record.peerId);
    }
    for (const piece of c.pieces) {
      piece.reset();
    }
    if (c.pieces.size > 0) {
      this.#left.set(id, c.pieces);
    }
    this.#want((o) => o.records.set(id, undefined));
    this.#invalidated(id);
  }

  /** Forgets all conversations. */
  reset(): void {
    for (const id of [...this.#states.keys()]) {
      this.drop(id);
    }
    this.#want((o) => {
      o.reset = true;
      o.refetch.clear();
      o.arrived = [];
    });
  }

  /**
   * Opens a piece of a conversation; it is kept current until it is closed. `changed` is called when it, or what is known of its conversation, has
   * changed. While the conversation is not known the piece waits for it.
   */
  open(id: string, changed: () => void): Piece {
    const c = this.#states.get(id);
    const view = (m: StoredMessage) => messageView(m, this.#states.get(id)?.record ?? strange(id), this.self);
    const piece = new Piece(c?.record.lastSeq ?? 0, view, changed);
    piece.stale = true;
    this.#onPiece.set(piece, changed);
    if (c) {
      c.pieces.add(piece);
    } else {
      this.#left.set(id, (this.#left.get(id) ?? new Set()).add(piece));
    }
    return piece;
  }

  close(id: string, piece: Piece): void {
    this.#states.get(id)?.pieces.delete(piece);
    this.#left.get(id)?.delete(piece);
  }

  #add(record: StoredConversation): void {
    const pieces = this.#left.get(record.id) ?? new Set();
    this.#left.delete(record.id);
    const c = new ConversationState(
      record,
      pieces,
      { self: this.self, connected: () => this.#connected, user: (id) => this.#users.get(id) },
      (changed) => this.#changed(changed),
    );
    c.draft = this.#drafts.get(record.id) ?? "";
    c.outbox = this.#outbox.get(record.id) ?? [];
    this.#states.set(record.id, c);
    if (record.peerId !== "") {
      this.#peers.set(record.peerId, c);
    }
    this.#order.put(c);
    for (const piece of pieces) {
      piece.known = Math.max(piece.known, record.lastSeq);
    }
    if (this.#signals.members.get(record.id)?.observed) {
      c.members = new MemberList();
      this.#want((o) => o.members.add(record.id));
    }
    this.#piecesChanged(c);
    this.#invalidated(record.id);
  }

  #changed(c: ConversationState): void {
    this.#order.put(c);
    this.#dirty(c.record.id, c.record);
    this.#invalidated(c.record.id);
  }

  #invalidated(id: string): void {
    this.conversations.invalidate();
    this.#signals.conversations.get(id)?.invalidate();
  }

  #piecesChanged(c: ConversationState): void {
    for (const piece of c.pieces) {
      this.#onPiece.get(piece)?.();
    }
  }

  #dirty(id: string, record: StoredConversation): void {
    this.#want((o) => o.records.set(id, record));
  }

  #setUser(u: User): void {
    this.#users.set(u.id, u);
    this.#signals.users.get(u.id)?.invalidate();
    this.ephemera.userChanged();
    const direct = this.#peers.get(u.id);
    direct?.invalidate();
    for (const [id, signal] of this.#signals.members) {
      this.#states.get(id)?.members?.invalidate();
      signal.invalidate();
    }
  }

  #want(add: (o: Outcome) => void): void {
    add(this.#outcome);
    this.#wanted();
  }

  #signal<S>(signals: Map<string, S>, id: string, make: () => S): S {
    let s = signals.get(id);
    if (!s) {
      s = make();
      signals.set(id, s);
    }
    return s;
  }
}
