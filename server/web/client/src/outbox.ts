import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { SendMessageRequestSchema } from "@natterjack/proto/chat/v1/request_pb.js";
import type { ChatError } from "./api.js";
import { chatError, failureOf, retryable, toChatError } from "./errors.js";
import type { OutboxItem, StoredMessage } from "./model/records.js";
import { backoff } from "./retries.js";
import { uuid7 } from "./uuid.js";
import type { Link } from "./wire.js";

/** For how long own messages are sent again after a RESET (a rule of the protocol), in milliseconds. */
const keepStored = 24 * 60 * 60 * 1000;
/** How many of them at most. */
const maxKept = 1000;
/** A rule of the schema. */
const maxContentBytes = 16_384;
// Control characters other than tab, line feed and carriage return: a rule of the schema.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const refused = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;

export interface OutboxOptions {
  /** Shows the items of a conversation. */
  show(conversationId: string, items: readonly OutboxItem[]): void;
  /** Keeps a change; resolves once it would survive a reload. */
  keep(changes: ReadonlyMap<string, OutboxItem | undefined>): Promise<void>;
  /** Tells other tabs of a change. */
  tell(changes: ReadonlyMap<string, OutboxItem | undefined>): void;
}

/**
 * Messages on their way. They are kept before they are sent, sent in order, one at a time in each conversation, and again under the same id until the
 * server has stored or refused them: so each is stored once, whatever breaks. All tabs show the same items; the one with the link sends.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #items = new Map<string, OutboxItem>();
  /** The items that are shown, by conversation and in order; the others are only kept. */
  readonly #shown = new Map<string, OutboxItem[]>();
  /** The conversations in which one is on its way. */
  readonly #sending = new Set<string>();
  readonly #pauses = new Map<string, { timer: ReturnType<typeof setTimeout> | undefined; failures: number }>();
  #link: Link | undefined;
  #order = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Takes what was kept; of what is known, more is known here. */
  restore(kept: readonly OutboxItem[]): void {
    this.take(new Map(kept.filter((i) => !this.#items.has(i.id)).map((i) => [i.id, i])));
  }

  /** Takes changes, of this tab or of another. */
  take(changes: ReadonlyMap<string, OutboxItem | undefined>): void {
    const touched = new Set<string>();
    for (const [id, item] of changes) {
      const before = this.#items.get(id);
      if (item) {
        this.#items.set(id, item);
        this.#order = Math.max(this.#order, item.order); // the clock may have been set back since
      } else {
        this.#items.delete(id);
      }
      const conversationId = (item ?? before)?.conversationId;
      if (conversationId) {
        this.#place(conversationId, id, item);
        touched.add(conversationId);
      }
    }
    for (const id of touched) {
      this.#options.show(id, [...(this.#shown.get(id) ?? [])]);
      this.#pump(id);
    }
  }

  #place(conversationId: string, id: string, item: OutboxItem | undefined): void {
    const shown = this.#shown.get(conversationId) ?? [];
    const at = shown.findIndex((i) => i.id === id);
    if (at >= 0) {
      shown.splice(at, 1);
    }
    if (item && !(item.state === "stored" && item.settled)) {
      const behind = shown.findIndex((i) => i.order > item.order);
      shown.splice(behind < 0 ? shown.length : behind, 0, item);
    }
    if (shown.length > 0) {
      this.#shown.set(conversationId, shown);
    } else {
      this.#shown.delete(conversationId);
    }
  }

  async add(conversationId: string, content: string, replyTo: number): Promise<void> {
    check(content);
    const now = Date.now();
    this.#order = Math.max(this.#order + 1, now * 1000);
    const item: OutboxItem = {
      id: uuid7(now),
      conversationId,
      content,
      replyTo,
      created: now,
      order: this.#order,
      state: "waiting",
    };
    // Shown at once, but sent, and said to wait, once it is kept: a message that was sent must not be sent anew under another id after a reload.
    this.take(new Map([[item.id, { ...item, unkept: true }]]));
    const kept = new Map([[item.id, item]]);
    await this.#options.keep(kept);
    if (this.#items.has(item.id)) {
      this.take(kept);
      this.#options.tell(kept);
    }
  }

  /** Tries a failed message again, as the last one. */
  async retry(id: string): Promise<void> {
    const item = this.#items.get(id);
    if (item?.state === "failed") {
      this.#order = Math.max(this.#order + 1, Date.now() * 1000);
      const { error: _, ...rest } = item;
      await this.#change({ ...rest, state: "waiting", order: this.#order });
    }
  }

  async discard(id: string): Promise<void> {
    const item = this.#items.get(id);
    if (item?.state === "failed") {
      await this.#changes(new Map([[id, undefined]]));
    }
  }

  /** Takes note that the server has a message: the one on the way, or on a way that was lost, is done. */
  stored(id: string, seq: number, time: number): void {
    const item = this.#items.get(id);
    if (item && item.state !== "stored") {
      const { error: _, ...rest } = item;
      void this.#change({ ...rest, state: "stored", seq, time });
    }
  }

  seen(messages: Iterable<StoredMessage>): void {
    for (const m of messages) {
      if (m.clientId !== "") {
        this.stored(m.clientId, m.seq, m.time);
      }
    }
  }

  /** Stops showing stored items of a conversation whose messages are shown by themselves: those up to a place. */
  settle(conversationId: string, cursor: number): void {
    const done = (this.#shown.get(conversationId) ?? []).filter((i) => i.state === "stored" && (i.seq ?? 0) <= cursor);
    if (done.length > 0) {
      void this.#changes(new Map(done.map((i) => [i.id, { ...i, settled: true }])));
      this.#forget();
    }
  }

  /** Lets go of stored items that are too old, or too many, to be sent again. */
  #forget(): void {
    const kept = [...this.#items.values()].filter((i) => i.state === "stored" && i.settled);
    const oldest = Date.now() - keepStored;
    kept.sort((a, b) => b.order - a.order);
    const old = kept.filter((i, n) => n >= maxKept || i.created < oldest);
    if (old.length > 0) {
      void this.#changes(new Map(old.map((i) => [i.id, undefined])));
    }
  }

  /** The server may have lost what it had stored: all of the last 24 hours is sent again. */
  reassert(): void {
    const oldest = Date.now() - keepStored;
    const again = new Map<string, OutboxItem>();
    for (const item of this.#items.values()) {
      if (item.state === "stored" && item.created >= oldest) {
        const { seq: _, time: __, settled: ___, ...rest } = item;
        again.set(item.id, { ...rest, state: "waiting" });
      }
    }
    void this.#changes(again);
  }

  /** Begins to send over a link that is connected, or ends it. */
  connect(link: Link | undefined): void {
    this.#link = link;
    for (const pause of this.#pauses.values()) {
      clearTimeout(pause.timer);
    }
    this.#pauses.clear();
    if (!link) {
      return;
    }
    for (const id of this.#shown.keys()) {
      this.#pump(id);
    }
  }

  /** Sends the next message of a conversation. */
  #pump(conversationId: string): void {
    const link = this.#link;
    const next = this.#shown.get(conversationId)?.find((i) => i.state === "waiting");
    if (!link || !next || next.unkept || this.#sending.has(conversationId) || this.#waits(conversationId)) {
      return;
    }
    this.#sending.add(conversationId);
    void this.#send(link, next).then(() => {
      this.#sending.delete(conversationId);
      this.#pump(conversationId);
    });
  }

  #waits(conversationId: string): boolean {
    return this.#pauses.get(conversationId)?.timer !== undefined;
  }

  async #send(link: Link, item: OutboxItem): Promise<void> {
    try {
      const value = create(SendMessageRequestSchema, {
        conversationId: item.conversationId,
        clientMessageId: item.id,
        content: item.content,
        replyToSeq: BigInt(item.replyTo),
      });
      const ack = await link.say({ case: "sendMessage", value });
      this.#pauses.delete(item.conversationId);
      this.stored(item.id, Number(ack.seq), ack.timestamp ? timestampMs(ack.timestamp) : Date.now());
    } catch (thrown) {
      this.#refused(item, toChatError(thrown));
    }
  }

  #refused(item: OutboxItem, error: ChatError): void {
    if (error.code === "network" || error.code === "unauthenticated" || retryable(error)) {
      // Without a connection the next one begins anew; with one, something was refused for now.
      const failures = this.#pauses.get(item.conversationId)?.failures ?? 0;
      const delay = Math.max(error.retryAfter ?? 0, backoff(failures));
      const timer = setTimeout(() => this.#resume(item.conversationId), delay);
      this.#pauses.set(item.conversationId, { timer, failures: failures + 1 });
      return;
    }
    if (this.#items.get(item.id)?.state === "waiting") {
      void this.#change({ ...item, state: "failed", error: failureOf(error) });
    }
  }

  #resume(conversationId: string): void {
    const failures = this.#pauses.get(conversationId)?.failures ?? 0;
    this.#pauses.set(conversationId, { timer: undefined, failures });
    this.#pump(conversationId);
  }

  #change(item: OutboxItem): Promise<void> {
    return this.#changes(new Map([[item.id, item]]));
  }

  async #changes(changes: ReadonlyMap<string, OutboxItem | undefined>): Promise<void> {
    this.take(changes);
    this.#options.tell(changes);
    await this.#options.keep(changes);
  }
}

/** Refuses what can never be sent. */
export function check(content: string): void {
  const wrong =
    content.length === 0
      ? "is empty"
      : new TextEncoder().encode(content).length > maxContentBytes
        ? `is longer than ${maxContentBytes} bytes`
        : refused.test(content)
          ? "has control characters"
          : undefined;
  if (wrong) {
    throw chatError({ code: "invalid_argument", reason: "INVALID_FIELD", field: "content", message: `the message ${wrong}` });
  }
}
