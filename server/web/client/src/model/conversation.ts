import type { Event, MembersChanged } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { Conversation, Member, Message, User } from "../api.js";
import type { Piece } from "./piece.js";
import {
  laterMarks,
  type Marks,
  type OutboxItem,
  type StoredConversation,
  type StoredMember,
  type StoredMessage,
  toMember,
} from "./records.js";
import { messageView, outboxView } from "./view.js";

/** Conversations of more members tell no marks of others (a rule of the schema). */
const maxReceipts = 64;
/** How many events are kept beyond a hole. */
const maxHeld = 256;

/** What a conversation needs of the model around it. */
export interface Surroundings {
  readonly self: string;
  /** There is a connection: what waits is on its way. */
  connected(): boolean;
  user(id: string): User | undefined;
}

/** One conversation: its record, and what hangs on it. Changes are told to {@link changed}. */
export class ConversationState {
  record: StoredConversation;
  draft = "";
  outbox: readonly OutboxItem[] = [];
  /** The members, where somebody wants them. */
  members: MemberList | undefined;

  readonly #pieces: () => Iterable<Piece>;
  readonly #around: Surroundings;
  readonly #changed: (c: ConversationState) => void;
  readonly #held = new Map<number, Event>();
  #view: Conversation | undefined;
  #lastView: { of: StoredMessage; view: Message } | undefined;

  constructor(
    record: StoredConversation,
    pieces: () => Iterable<Piece>,
    around: Surroundings,
    changed: (c: ConversationState) => void,
  ) {
    this.record = record;
    this.#pieces = pieces;
    this.#around = around;
    this.#changed = changed;
  }

  /** What lists are sorted by. */
  get time(): number {
    const written = this.outbox.at(-1);
    return Math.max(this.record.updateTime, written && written.state !== "stored" ? written.created : 0);
  }

  /** The conversation as it is shown; the same object until something changes. */
  view(): Conversation {
    this.#view ??= this.#make();
    return this.#view;
  }

  /** Drops the made view: something outside of the record has changed that it shows. */
  invalidate(): void {
    this.#view = undefined;
    this.#changed(this);
  }

  messageView(m: StoredMessage): Message {
    return messageView(m, this.record, this.#around.self);
  }

  /** The outbox as it is shown after the messages up to `cursor`: a stored one only until its event has come. */
  outboxViews(cursor: number): Message[] {
    return this.outbox
      .filter((o) => o.state !== "stored" || (o.seq ?? 0) > cursor)
      .map((o) => outboxView(o, this.record, this.#around.self, this.#around.connected()));
  }

  /** Replaces the record, and makes anew what hangs on what has changed in it. */
  set(record: StoredConversation): void {
    const before = this.record;
    if (same(record, before)) {
      return;
    }
    this.record = record;
    this.#refresh(Math.min(before.peersDeliveredSeq, before.peersReadSeq), record);
    this.invalidate();
  }

  #refresh(from: number, now: StoredConversation): void {
    const to = Math.max(now.peersReadSeq, now.peersDeliveredSeq);
    if (to <= from) {
      return;
    }
    const last = this.#lastView;
    if (last && last.of.seq > from) {
      this.#lastView = undefined;
    }
    for (const piece of this.#pieces()) {
      piece.refresh(from, to);
    }
  }

  /** Merges a newer state of the whole conversation; marks never go back by it. */
  summary(s: StoredConversation): void {
    const r = this.record;
    if (s.lastSeq < r.lastSeq) {
      // older than what the events told
      if (s.countedSeq > r.countedSeq) {
        this.set({ ...r, readOrdinal: s.readOrdinal, countedSeq: s.countedSeq });
      }
      this.marks(s.own, true);
      for (const p of s.peers) {
        this.marks(p, false);
      }
      return;
    }
    const old = new Map(r.peers.map((p) => [p.userId, p]));
    const peers = s.peers.map((p) => laterMarks(old.get(p.userId) ?? p, p));
    const last = r.lastMessage;
    this.set({
      ...s,
      lastMessage: last && last.seq === s.lastMessage?.seq && last.changedSeq >= s.lastMessage.changedSeq ? last : s.lastMessage,
      own: laterMarks(r.own, s.own),
      readOrdinal: Math.max(s.readOrdinal, r.readOrdinal),
      countedSeq: Math.max(s.countedSeq, r.countedSeq),
      saidReadSeq: Math.max(s.saidReadSeq, r.saidReadSeq),
      saidDeliveredSeq: Math.max(s.saidDeliveredSeq, r.saidDeliveredSeq),
      peers: peers.length === r.peers.length && peers.every((p, n) => p === r.peers[n]) ? r.peers : peers,
      peersReadSeq: Math.max(s.peersReadSeq, r.peersReadSeq),
      peersDeliveredSeq: Math.max(s.peersDeliveredSeq, r.peersDeliveredSeq),
    });
  }

  /** Keeps an event beyond a hole, until the summary is there that covers the hole. */
  hold(e: Event): void {
    if (this.#held.size >= maxHeld) {
      this.#held.clear(); // the next one asks for the summary again
    }
    this.#held.set(Number(e.seq), e);
  }

  /** Takes out the event that was held and comes next. */
  held(): Event | undefined {
    for (const seq of this.#held.keys()) {
      if (seq <= this.record.lastSeq) {
        this.#held.delete(seq);
      }
    }
    return this.#held.get(this.record.lastSeq + 1);
  }

  /** Takes the next event, `seq`, into the record. Returns whether it is a new message. */
  event(seq: number, message: StoredMessage | undefined, now: number): boolean {
    const r = this.record;
    if (message?.seq === seq) {
      this.set(
        this.#arrived(
          { ...r, lastSeq: seq, lastMessage: message, lastOrdinal: message.ordinal, updateTime: message.time },
          message,
        ),
      );
      return true;
    }
    const changesLast = message !== undefined && message.seq === r.lastMessage?.seq;
    this.set({
      ...r,
      lastSeq: seq,
      lastMessage: changesLast ? message : r.lastMessage,
      updateTime: Math.max(r.updateTime, now), // such an event carries no time
    });
    return false;
  }

  /** A sender has read what was before their own message. */
  #arrived(r: StoredConversation, m: StoredMessage): StoredConversation {
    const marks = { userId: m.senderId, readSeq: m.seq, deliveredSeq: m.seq, readTime: m.time };
    if (m.senderId === this.#around.self) {
      return {
        ...r,
        own: laterMarks(r.own, marks),
        readOrdinal: Math.max(r.readOrdinal, m.ordinal),
        countedSeq: Math.max(r.countedSeq, m.seq),
        saidReadSeq: Math.max(r.saidReadSeq, m.seq),
        saidDeliveredSeq: Math.max(r.saidDeliveredSeq, m.seq),
      };
    }
    return {
      ...r,
      peers: r.peers.map((p) => (p.userId === m.senderId ? laterMarks(p, marks) : p)),
      peersReadSeq: Math.max(r.peersReadSeq, m.seq),
      peersDeliveredSeq: Math.max(r.peersDeliveredSeq, m.seq),
    };
  }

  /** A later state of one message from an answer: it counts where it is the newest one. */
  merge(m: StoredMessage): void {
    const last = this.record.lastMessage;
    if (last?.seq === m.seq && m.changedSeq > last.changedSeq) {
      this.set({ ...this.record, lastMessage: m });
    }
  }

  /** Takes a member's marks; `said` tells that the server knows them. Returns false where the server has to be asked for what is unread. */
  marks(m: Marks, said: boolean): boolean {
    const r = this.record;
    if (m.userId !== this.#around.self) {
      const peers = r.peers.some((p) => p.userId === m.userId && laterMarks(p, m) !== p)
        ? r.peers.map((p) => (p.userId === m.userId ? laterMarks(p, m) : p))
        : r.peers;
      const peersReadSeq = Math.max(r.peersReadSeq, m.readSeq);
      const peersDeliveredSeq = Math.max(r.peersDeliveredSeq, m.deliveredSeq);
      if (peers !== r.peers || peersReadSeq !== r.peersReadSeq || peersDeliveredSeq !== r.peersDeliveredSeq) {
        this.set({ ...r, peers, peersReadSeq, peersDeliveredSeq });
      }
      return true;
    }
    const own = laterMarks(r.own, m);
    const saidReadSeq = said ? Math.max(r.saidReadSeq, m.readSeq) : r.saidReadSeq;
    const saidDeliveredSeq = said ? Math.max(r.saidDeliveredSeq, m.deliveredSeq) : r.saidDeliveredSeq;
    if (own === r.own && saidReadSeq === r.saidReadSeq && saidDeliveredSeq === r.saidDeliveredSeq) {
      return true;
    }
    const ordinal = this.#ordinal(own.readSeq);
    const counted = ordinal === undefined ? {} : { readOrdinal: ordinal, countedSeq: own.readSeq };
    this.set({ ...r, own, saidReadSeq, saidDeliveredSeq, ...counted });
    // The server can't tell either before it has heard of the mark.
    return this.record.countedSeq >= own.readSeq || saidReadSeq < own.readSeq;
  }

  /** The ordinal of the newest message up to a place; undefined where it isn't known. */
  #ordinal(seq: number): number | undefined {
    const { lastMessage, lastSeq, lastOrdinal } = this.record;
    if (seq > lastSeq) {
      return undefined;
    }
    if (seq >= (lastMessage?.seq ?? 0)) {
      return lastOrdinal;
    }
    if (seq === this.record.countedSeq || this.record.readOrdinal === this.record.lastOrdinal) {
      return this.record.readOrdinal;
    }
    for (const piece of this.#pieces()) {
      const m = piece.upTo(seq);
      if (m && (m.seq === seq || piece.last > seq)) {
        return m.ordinal;
      }
    }
    return undefined;
  }

  /** Takes a change of the members into the record and the list. Returns false where the own user is no member any more. */
  memberChange(seq: number, change: MembersChanged): boolean {
    let { memberCount, peers, role } = this.record;
    for (const m of change.members) {
      const id = m.user?.id ?? "";
      if (id === this.#around.self) {
        if (m.leftSeq !== 0n) {
          return false;
        }
        role = toMember(m).role;
      }
      if (Number(m.leftSeq) === seq) {
        memberCount--;
        peers = peers.filter((p) => p.userId !== id);
      } else if (Number(m.joinedSeq) === seq && id !== this.#around.self) {
        memberCount++;
        if (peers.every((p) => p.userId !== id)) {
          peers = [...peers, { userId: id, readSeq: 0, deliveredSeq: 0, readTime: 0 }];
        }
      }
    }
    this.set({ ...this.record, memberCount, peers: memberCount > maxReceipts ? [] : peers, role });
    return true;
  }

  #make(): Conversation {
    const r = this.record;
    const peer = r.peerId === "" ? undefined : this.#around.user(r.peerId);
    const last = this.#last();
    return {
      id: r.id,
      kind: r.kind,
      title: r.kind === "direct" ? (peer?.displayName ?? "") : r.title,
      ...(peer && { peer }),
      role: r.role,
      memberCount: r.memberCount,
      unread: Math.max(0, r.lastOrdinal - r.readOrdinal),
      lastSeq: r.lastSeq,
      ...(last && { lastMessage: last }),
      readSeq: r.own.readSeq,
      receipts: r.peers.map(({ userId, readSeq, deliveredSeq, readTime }) => ({
        userId,
        readSeq,
        deliveredSeq,
        ...(readTime > 0 && { readTime }),
      })),
      updateTime: this.time,
      draft: this.draft,
    };
  }

  #last(): Message | undefined {
    const waiting = this.outboxViews(this.record.lastSeq).at(-1);
    const m = this.record.lastMessage;
    if (waiting || !m) {
      return waiting;
    }
    if (this.#lastView?.of !== m) {
      this.#lastView = { of: m, view: this.messageView(m) };
    }
    return this.#lastView.view;
  }
}

function same(a: StoredConversation, b: StoredConversation): boolean {
  return a === b || (Object.keys(a) as (keyof StoredConversation)[]).every((k) => a[k] === b[k]);
}

/** The members of a conversation: a list that was read in pages, and the changes that came meanwhile and after. */
export class MemberList {
  #complete = false;
  #members: Map<string, StoredMember> | undefined;
  #since: MembersChanged[] = [];
  #view: readonly Member[] | undefined;

  change(change: MembersChanged): void {
    if (!this.#complete) {
      this.#since.push(change);
    }
    this.#apply(change);
  }

  /** Begins to read the list (anew): until it is there, the old one is shown and changes are gathered. */
  begin(): void {
    this.#complete = false;
    this.#since = [];
  }

  read(members: readonly StoredMember[]): void {
    this.#complete = true;
    this.#members = new Map(members.map((m) => [m.userId, m]));
    for (const change of this.#since) {
      this.#apply(change);
    }
    this.#since = [];
    this.#view = undefined;
  }

  /** All of them are known. */
  get complete(): boolean {
    return this.#complete;
  }

  view(user: (id: string) => User | undefined): readonly Member[] | undefined {
    if (this.#members && !this.#view) {
      this.#view = [...this.#members.values()].flatMap((m) => {
        const u = user(m.userId);
        return u ? [{ user: u, role: m.role }] : [];
      });
    }
    return this.#view;
  }

  /** A user's name has become known, or changed; returns whether that is one of the members. */
  named(userId: string): boolean {
    if (!this.#members?.has(userId)) {
      return false;
    }
    this.#view = undefined;
    return true;
  }

  #apply(change: MembersChanged): void {
    for (const m of change.members) {
      const member = toMember(m);
      if (m.leftSeq === 0n) {
        this.#members?.set(member.userId, member);
      } else {
        this.#members?.delete(member.userId);
      }
    }
    this.#view = undefined;
  }
}
