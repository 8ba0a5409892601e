/** A server of one conversation, in memory, and a client of it whose every answer can be late: for tests of the model by chance. */
import { clone, create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ConversationKind,
  ConversationSchema,
  type ConversationSummary,
  ConversationSummarySchema,
  MemberRole,
  MemberSchema,
  type Receipt,
  ReceiptSchema,
} from "@natterjack/proto/chat/v1/conversation_pb.js";
import { type Message, MessageSchema } from "@natterjack/proto/chat/v1/message_pb.js";
import { type Event, EventSchema, type ResumeKind } from "@natterjack/proto/chat/v1/stream_pb.js";
import { UserSchema } from "@natterjack/proto/chat/v1/user_pb.js";
import type { HistoryPage, Place } from "../src/model/piece.js";
import { toMessage } from "../src/model/records.js";

export const id = "c1";
export const self = "u1";
export const peer = "u2";

/** Numbers by chance, the same ones for the same seed (mulberry32). */
export function chance(seed: number): (below: number) => number {
  let a = seed;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** The truth. Durable changes and receipts go to `stream` as they happen. */
export class World {
  head = 1;
  title = "title 1";
  readonly messages: Message[] = [];
  readonly log: { seq: number; message: Message | undefined }[] = [{ seq: 1, message: undefined }];
  readonly marks = new Map([self, peer].map((u) => [u, create(ReceiptSchema, { conversationId: id, userId: u })]));
  #titleSeq = 1;
  readonly #emit: (e: Event) => void;

  constructor(emit: (e: Event) => void) {
    this.#emit = emit;
  }

  send(sender: string): void {
    const seq = ++this.head;
    const m = create(MessageSchema, {
      id: `m${seq}`,
      conversationId: id,
      seq: BigInt(seq),
      senderId: sender,
      content: `message ${seq}`,
      timestamp: timestampFromMs(seq),
      clientMessageId: `client ${seq}`,
      changedSeq: BigInt(seq),
      ordinal: BigInt(this.messages.length + 1),
    });
    this.messages.push(m);
    this.#mark(sender, seq, seq);
    this.#append(m);
  }

  /** Changes a message: an edit, or a deletion. */
  change(m: Message, deleted: boolean): void {
    const seq = ++this.head;
    m.changedSeq = BigInt(seq);
    if (deleted) {
      m.deleteTime = timestampFromMs(seq);
      m.content = "";
    } else if (!m.deleteTime) {
      m.content = `changed ${seq}`;
      m.editTime = timestampFromMs(seq);
    }
    this.#append(m);
  }

  rename(): void {
    this.#titleSeq = ++this.head;
    this.title = `title ${this.head}`;
    this.log.push({ seq: this.head, message: undefined });
    this.#emit(this.#event(this.head, undefined));
  }

  read(user: string, seq: number): void {
    if (this.#mark(user, seq, seq)) {
      this.#emit(create(EventSchema, { event: { case: "receipt", value: clone(ReceiptSchema, this.#of(user)) } }));
    }
  }

  delivered(user: string, seq: number): void {
    if (this.#mark(user, 0, seq)) {
      this.#emit(create(EventSchema, { event: { case: "receipt", value: clone(ReceiptSchema, this.#of(user)) } }));
    }
  }

  #mark(user: string, read: number, delivered: number): boolean {
    const r = this.#of(user);
    const moved = read > r.readSeq || delivered > r.deliveredSeq;
    if (read > r.readSeq) {
      r.readSeq = BigInt(read);
      r.readTime = timestampFromMs(this.head);
    }
    if (delivered > r.deliveredSeq) {
      r.deliveredSeq = BigInt(delivered);
    }
    return moved;
  }

  #of(user: string): Receipt {
    return this.marks.get(user) as Receipt;
  }

  #append(m: Message): void {
    this.log.push({ seq: this.head, message: m });
    this.#emit(this.#event(this.head, m));
  }

  #event(seq: number, m: Message | undefined): Event {
    return create(EventSchema, {
      conversationId: id,
      seq: BigInt(seq),
      event: m ? { case: "message", value: clone(MessageSchema, m) } : { case: "conversation", value: this.#conversation() },
    });
  }

  #conversation() {
    return create(ConversationSchema, {
      id,
      kind: ConversationKind.GROUP,
      title: this.title,
      changedSeq: BigInt(this.#titleSeq),
    });
  }

  /** Answers ListEvents. */
  events(after: number, limit: number): Event[] {
    return this.log
      .filter((e) => e.seq > after)
      .slice(0, limit)
      .map((e) => this.#event(e.seq, e.message));
  }

  /** Answers ListMessages. */
  page(place: Place, seq: number, limit: number): HistoryPage {
    const all = this.messages;
    const at = all.findIndex((m) => Number(m.seq) >= seq);
    const i = at < 0 ? all.length : at;
    let [from, to] = [Math.max(0, all.length - limit), all.length];
    if (place === "older") {
      [from, to] = [Math.max(0, i - limit), i];
    } else if (place === "newer") {
      const after = all[i] && Number(all[i].seq) === seq ? i + 1 : i;
      [from, to] = [after, Math.min(all.length, after + limit)];
    } else if (seq > 0) {
      [from, to] = [Math.max(0, i - (limit >> 1)), Math.min(all.length, i + (limit >> 1) + 1)];
    }
    return { messages: all.slice(from, to).map(toMessage), hasOlder: from > 0, hasNewer: to < all.length };
  }

  summary(): ConversationSummary {
    const last = this.messages.at(-1);
    const mine = this.#of(self);
    const users = [self, peer].map((u) => create(UserSchema, { id: u, username: u, displayName: u }));
    return create(ConversationSummarySchema, {
      conversation: this.#conversation(),
      self: create(MemberSchema, {
        conversationId: id,
        user: users[0] as (typeof users)[0],
        role: MemberRole.MEMBER,
        joinedSeq: 1n,
      }),
      lastSeq: BigInt(this.head),
      ...(last && { lastMessage: clone(MessageSchema, last) }),
      unreadCount: BigInt(this.messages.filter((m) => m.seq > mine.readSeq).length),
      receipt: clone(ReceiptSchema, mine),
      peerReceipts: [clone(ReceiptSchema, this.#of(peer))],
      memberCount: 2,
      updateTime: timestampFromMs(this.head),
    });
  }
}

export function ready(kind: ResumeKind): Event {
  return create(EventSchema, { event: { case: "ready", value: { resumeKind: kind } } });
}

export function caughtUp(): Event {
  return create(EventSchema, { event: { case: "caughtUp", value: { token: new Uint8Array([1]) } } });
}

export function resync(lastSeq: number): Event {
  return create(EventSchema, { event: { case: "resync", value: { conversationId: id, lastSeq: BigInt(lastSeq) } } });
}

export function summaryEvent(s: ConversationSummary): Event {
  return create(EventSchema, { event: { case: "summary", value: s } });
}
