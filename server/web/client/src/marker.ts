import { create } from "@bufbuild/protobuf";
import { MarkDeliveredRequestSchema, MarkReadRequestSchema } from "@natterjack/proto/chat/v1/request_pb.js";
import { toChatError } from "./errors.js";
import type { Model } from "./model/model.js";
import type { StoredConversation } from "./model/records.js";
import type { Link, Say } from "./wire.js";

/** Marks gather for this long, in milliseconds: the server stores two a second of one conversation. */
const gather = 300;
/** How long after a refusal marks are said again. */
const again = 5_000;
/** How many may be unanswered. */
const maxUnanswered = 16;

/** Tells the server how far the user has read, and how far messages have come to this device. What was not told is told over the next connection. */
export class Marker {
  readonly #model: Model;
  readonly #touched = new Set<string>();
  readonly #saying = new Set<string>();
  #link: Link | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model) {
    this.#model = model;
  }

  /** Begins to speak over a link that is connected, or ends it. */
  connect(link: Link | undefined): void {
    this.#link = link;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (link) {
      for (const c of this.#model.states()) {
        this.touch(c.record);
      }
    }
  }

  /** A record has changed. */
  touch(r: StoredConversation): void {
    if (this.#link && request(r, this.#model.self)) {
      this.#touched.add(r.id);
      this.#timer ??= setTimeout(() => this.#run(), gather);
    }
  }

  #run(): void {
    this.#timer = undefined;
    for (const id of this.#touched) {
      if (this.#saying.size >= maxUnanswered) {
        return; // an answer goes on
      }
      if (!this.#saying.has(id)) {
        this.#touched.delete(id);
        void this.#say(id);
      }
    }
  }

  async #say(id: string): Promise<void> {
    const link = this.#link;
    const c = this.#model.state(id);
    const say = c && request(c.record, this.#model.self);
    if (!link || !say) {
      return;
    }
    this.#saying.add(id);
    try {
      await link.say(say);
      const seq = Number(say.value.seq);
      const readSeq = say.case === "markRead" ? seq : 0;
      this.#model.marks(id, { userId: this.#model.self, readSeq, deliveredSeq: seq, readTime: 0 }, true);
    } catch (thrown) {
      const error = toChatError(thrown);
      if (error.code !== "network" && error.code !== "not_found" && this.#link === link) {
        this.#touched.add(id);
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#run(), error.retryAfter ?? again);
      }
    }
    this.#saying.delete(id);
    if (this.#touched.size > 0 && this.#link) {
      this.#timer ??= setTimeout(() => this.#run(), gather);
    }
  }
}

type Mark = Extract<Say, { case: "markRead" | "markDelivered" }>;

/** What is to be said of a conversation. */
function request(r: StoredConversation, self: string): Mark | undefined {
  if (r.own.readSeq > r.saidReadSeq) {
    return { case: "markRead", value: create(MarkReadRequestSchema, { conversationId: r.id, seq: BigInt(r.own.readSeq) }) };
  }
  const m = r.lastMessage;
  if (m && m.senderId !== self && m.seq > Math.max(r.saidDeliveredSeq, r.saidReadSeq)) {
    return { case: "markDelivered", value: create(MarkDeliveredRequestSchema, { conversationId: r.id, seq: BigInt(m.seq) }) };
  }
  return undefined;
}
