import type { Message, Observable, Timeline, TimelineState } from "./api.js";
import { Keeper, type KeeperOptions } from "./keeper.js";
import type { Tail } from "./model/records.js";
import { type Notifier, Signal } from "./model/signal.js";

/** How many messages one page of a timeline has. */
const pageSize = 50;

export interface TimelineOptions extends KeeperOptions {
  readonly notifier: Notifier;
  /** What was kept of the conversation. */
  tail(conversationId: string): Promise<Tail | undefined>;
  /** Called when the timeline is closed. */
  closed(timeline: ChatTimeline, tail: Tail | undefined): void;
  /** Called when its piece has changed, for those who keep it. */
  changed(timeline: ChatTimeline): void;
}

/** A window on one conversation: a piece, and the messages of the outbox after it. */
export class ChatTimeline implements Timeline {
  readonly conversationId: string;

  readonly #options: TimelineOptions;
  readonly #keeper: Keeper;
  readonly #state: Signal<TimelineState>;
  readonly #single = new Map<number, { signal: Signal<Message | undefined>; keeper: Keeper | undefined }>();
  #openedReadSeq: number | undefined;
  #restored = false;
  #dirty = false;
  #closed = false;

  constructor(options: TimelineOptions, conversationId: string) {
    this.#options = options;
    this.conversationId = conversationId;
    this.#state = new Signal<TimelineState>(options.notifier, () => this.#make());
    this.#keeper = new Keeper(options, conversationId, pageSize, () => this.#changed());
    void this.#open();
  }

  get(): TimelineState {
    return this.#state.get();
  }

  subscribe(changed: () => void): () => void {
    return this.#state.subscribe(changed);
  }

  loadOlder(): Promise<void> {
    return this.#keeper.piece.loaded && this.#keeper.piece.hasOlder ? this.#keeper.load("older") : Promise.resolve();
  }

  loadNewer(): Promise<void> {
    return this.#keeper.piece.loaded && !this.#keeper.piece.atHead ? this.#keeper.load("newer") : Promise.resolve();
  }

  async jumpTo(seq: number): Promise<void> {
    const { piece } = this.#keeper;
    const covers = () => piece.loaded && piece.first <= seq && (seq <= piece.last || piece.atHead);
    if (covers()) {
      return;
    }
    await this.#keeper.load("replace", { aroundSeq: BigInt(seq) });
    if (covers()) {
      this.#keeper.anchor = piece.atHead ? undefined : seq;
    }
  }

  async jumpToNewest(): Promise<void> {
    this.#keeper.anchor = undefined;
    if (!this.#keeper.piece.atHead || this.#keeper.loading("replace")) {
      await this.#keeper.load("replace", {});
    }
  }

  message(seq: number): Observable<Message | undefined> {
    let single = this.#single.get(seq);
    if (!single) {
      const compute = () => this.#keeper.piece.findView(seq) ?? this.#single.get(seq)?.keeper?.piece.findView(seq);
      const signal = new Signal<Message | undefined>(this.#options.notifier, compute, { begin: () => this.#fetch(seq) });
      single = { signal, keeper: undefined };
      this.#single.set(seq, single);
    }
    return single.signal;
  }

  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    const tail = this.#keeper.close();
    for (const { keeper } of this.#single.values()) {
      keeper?.close();
    }
    this.#options.closed(this, tail);
  }

  /** What to keep of it; undefined where nothing has changed since the last time, or nothing can be kept. */
  takeTail(): Tail | undefined {
    const tail = this.#dirty ? this.#keeper.tail() : undefined;
    this.#dirty = false;
    return tail;
  }

  /** The seq up to which everything is told in it; undefined where it is not current. */
  get cursor(): number | undefined {
    const { piece } = this.#keeper;
    return piece.loaded && !piece.stale ? piece.cursor : undefined;
  }

  /** The server may be asked again, or has to be. */
  check(): void {
    this.#keeper.check();
    for (const { keeper } of this.#single.values()) {
      keeper?.check();
    }
  }

  async #open(): Promise<void> {
    const tail = await this.#options.tail(this.conversationId);
    this.#restored = true;
    if (!this.#closed) {
      this.#keeper.begin(tail);
      this.#changed();
    }
  }

  /** Reads a message that is not in the piece, as a piece of its own. */
  #fetch(seq: number): void {
    const single = this.#single.get(seq);
    if (single && !single.keeper && !this.#keeper.piece.find(seq) && !this.#closed) {
      const keeper = new Keeper(this.#options, this.conversationId, 1, () => single.signal.invalidate());
      keeper.anchor = seq;
      single.keeper = keeper;
      keeper.begin();
    }
  }

  #changed(): void {
    this.#dirty = true;
    this.#state.invalidate();
    for (const { signal } of this.#single.values()) {
      signal.invalidate();
    }
    this.#options.changed(this);
  }

  #make(): TimelineState {
    const { piece, error } = this.#keeper;
    const c = this.#options.model.state(this.conversationId);
    this.#openedReadSeq ??= c?.record.own.readSeq;
    let messages: readonly Message[] = piece.views();
    if (piece.atHead || !piece.loaded) {
      const waiting = c?.outboxViews(piece.loaded ? piece.cursor : 0) ?? [];
      messages = waiting.length > 0 ? messages.concat(waiting) : messages;
    }
    return {
      messages,
      hasOlder: piece.hasOlder || !piece.loaded,
      hasNewer: piece.loaded && !piece.atHead,
      loading: this.#loading(),
      ...(error && { error }),
      openedReadSeq: this.#openedReadSeq ?? 0,
    };
  }

  #loading(): TimelineState["loading"] {
    const { piece, error } = this.#keeper;
    if (!this.#restored || this.#keeper.loading("replace") || (!piece.loaded && !error && this.#options.live())) {
      return "first";
    }
    if (this.#keeper.loading("older")) {
      return "older";
    }
    return this.#keeper.loading("newer") ? "newer" : "none";
  }
}
