import type { Message } from "../api.js";
import type { StoredMessage, Tail } from "./records.js";

/** How many events a piece keeps beyond a hole while the hole is fetched. */
const maxHeld = 512;

/** One page of history. */
export interface HistoryPage {
  readonly messages: readonly StoredMessage[];
  readonly hasOlder: boolean;
  readonly hasNewer: boolean;
}

/** Where a page belongs: in place of what is there, or at one of its ends. */
export type Place = "replace" | "older" | "newer";

/** A load that is under way; given back with its page. */
export interface Load {
  readonly place: Place;
  readonly generation: number;
  /** Without its page, a "replace" leaves things as they were. */
  readonly harmless: boolean;
}

/**
 * A gapless run of a conversation's messages, kept current by events and lengthened by pages of history.
 *
 * `cursor` is the seq up to which all events are told in it. Events come once and in order, whatever the order of their arrival; pages may come at any
 * time, older or newer than the events around them, since of two states of a message the one with the higher `changedSeq` is the later. A page was read
 * at some time after it was asked for, so it tells everything up to the cursor of then; what changed since is gathered while it is on its way.
 */
export class Piece {
  cursor: number;
  /** The highest seq heard of: beyond the cursor, something is missing. */
  known: number;
  hasOlder = false;
  /** The newest message is in it. */
  atHead = false;
  /** There has been a page: `messages` means something. */
  loaded = false;
  /** A "replace" is wanted: what is there can't be brought up to date by events. */
  stale = false;

  readonly #view: (m: StoredMessage) => Message;
  readonly #changed: () => void;
  #messages: StoredMessage[] = [];
  #views: Message[] = [];
  readonly #held = new Map<number, StoredMessage | undefined>();
  readonly #since = new Map<number, StoredMessage>();
  #loads = 0;
  #generation = 0;

  constructor(cursor: number, view: (m: StoredMessage) => Message, changed: () => void) {
    this.cursor = cursor;
    this.known = cursor;
    this.#view = view;
    this.#changed = changed;
  }

  get messages(): readonly StoredMessage[] {
    return this.#messages;
  }

  /** The messages as they are shown; a new array each time. */
  views(): Message[] {
    return this.#views.slice();
  }

  get behind(): boolean {
    return this.known > this.cursor;
  }

  get first(): number {
    return this.#messages[0]?.seq ?? 0;
  }

  get last(): number {
    return this.#messages.at(-1)?.seq ?? 0;
  }

  find(seq: number): StoredMessage | undefined {
    const m = this.#messages[this.#at(seq)];
    return m?.seq === seq ? m : undefined;
  }

  findView(seq: number): Message | undefined {
    const i = this.#at(seq);
    return this.#messages[i]?.seq === seq ? this.#views[i] : undefined;
  }

  /** The newest message at or before a place. */
  upTo(seq: number): StoredMessage | undefined {
    return this.#messages[this.#at(seq + 1) - 1];
  }

  /** Takes the event `seq`, and the message that it is about, if it is about one. */
  event(seq: number, message: StoredMessage | undefined): void {
    this.known = Math.max(this.known, seq);
    if (seq <= this.cursor) {
      return;
    }
    if (seq > this.cursor + 1) {
      this.#hold(seq, message);
      return;
    }
    this.#next(seq, message);
    while (this.#held.size > 0 && this.#held.has(this.cursor + 1)) {
      const next = this.cursor + 1;
      const held = this.#held.get(next);
      this.#held.delete(next);
      this.#next(next, held);
    }
  }

  /** Takes a later state of a message from elsewhere: it says nothing about other events. */
  merge(message: StoredMessage): void {
    const i = this.#at(message.seq);
    const there = this.#messages[i];
    if (there?.seq === message.seq && message.changedSeq > there.changedSeq) {
      this.#messages[i] = message;
      this.#views[i] = this.#view(message);
      this.#changed();
    }
  }

  /** Makes the messages after one place and up to another anew: others' marks have moved over them. */
  refresh(after: number, upTo: number): void {
    let changed = false;
    for (let i = this.#at(after + 1); i < this.#messages.length; i++) {
      const m = this.#messages[i] as StoredMessage;
      if (m.seq > upTo) {
        break;
      }
      if (this.#views[i]?.mine) {
        this.#views[i] = this.#view(m);
        changed = true;
      }
    }
    if (changed) {
      this.#changed();
    }
  }

  /** Call it before a page is asked for. What was missing before a "replace" is not wanted any more. */
  begin(place: Place): Load {
    const harmless = !this.stale && !this.behind;
    if (place === "replace") {
      this.#generation++;
      this.#loads = 0;
      this.#since.clear();
      this.#held.clear();
      this.cursor = this.known;
      this.stale = true;
    }
    this.#loads++;
    return { place, generation: this.#generation, harmless };
  }

  /** Ends a load, with its page where there is one. */
  end(load: Load, page: HistoryPage | undefined): void {
    if (load.generation !== this.#generation) {
      return;
    }
    if (page) {
      this.#take(load.place, page);
      this.#changed();
    } else if (load.place === "replace" && load.harmless) {
      this.stale = false;
    }
    this.#loads--;
    if (this.#loads === 0) {
      this.#since.clear();
    }
  }

  /** Begins with what was kept. */
  restore(tail: Tail): void {
    this.cursor = tail.cursor;
    this.known = Math.max(this.known, tail.cursor);
    this.#messages = [...tail.messages];
    this.#views = tail.messages.map(this.#view);
    this.hasOlder = tail.hasOlder;
    this.atHead = true;
    this.loaded = true;
    this.#changed();
  }

  /** What to keep of it: at most `limit` of the newest messages; undefined where it does not reach them. */
  tail(conversationId: string, limit: number): Tail | undefined {
    if (!this.loaded || !this.atHead || this.stale) {
      return undefined;
    }
    const cut = Math.max(0, this.#messages.length - limit);
    return {
      conversationId,
      messages: this.#messages.slice(cut),
      cursor: this.cursor,
      hasOlder: this.hasOlder || cut > 0,
    };
  }

  /** Forgets everything: it is of a store that is no more. */
  reset(): void {
    this.#generation++;
    this.#loads = 0;
    this.#since.clear();
    this.#held.clear();
    this.#messages = [];
    this.#views = [];
    this.cursor = 0;
    this.known = 0;
    this.hasOlder = false;
    this.atHead = false;
    this.loaded = false;
    this.stale = true;
    this.#changed();
  }

  #hold(seq: number, message: StoredMessage | undefined): void {
    if (this.#held.size >= maxHeld) {
      this.#held.clear(); // they are fetched with the rest
    }
    this.#held.set(seq, message);
  }

  #next(seq: number, message: StoredMessage | undefined): void {
    this.cursor = seq;
    if (!message) {
      return;
    }
    if (this.#loads > 0) {
      const since = this.#since.get(message.seq);
      if (!since || since.changedSeq < message.changedSeq) {
        this.#since.set(message.seq, message);
      }
    }
    if (this.loaded && this.atHead && message.seq > this.last) {
      this.#messages.push(message);
      this.#views.push(this.#view(message));
      this.#changed();
      return;
    }
    this.merge(message);
  }

  #take(place: Place, page: HistoryPage): void {
    const { first, last } = this;
    const empty = this.#messages.length === 0;
    switch (place) {
      case "replace":
        this.#put(this.#whole(page.messages, !page.hasNewer));
        this.hasOlder = page.hasOlder;
        this.atHead = !page.hasNewer;
        this.loaded = true;
        this.stale = false;
        return;
      case "older": {
        const older = this.#current(page.messages.filter((m) => empty || m.seq < first));
        this.#messages = older.concat(this.#messages);
        this.#views = older.map(this.#view).concat(this.#views);
        this.hasOlder = page.hasOlder;
        return;
      }
      case "newer": {
        const newer = this.#whole(
          page.messages.filter((m) => m.seq > last),
          !page.hasNewer,
          last,
        );
        this.#messages = this.#messages.concat(newer);
        this.#views = this.#views.concat(newer.map(this.#view));
        this.atHead = !page.hasNewer;
      }
    }
  }

  #put(messages: StoredMessage[]): void {
    const before = new Map(this.#messages.map((m, i) => [m.seq, i]));
    this.#views = messages.map((m) => {
      const i = before.get(m.seq);
      const same = i !== undefined && this.#messages[i]?.changedSeq === m.changedSeq;
      return same ? (this.#views[i] as Message) : this.#view(m);
    });
    this.#messages = messages;
  }

  /** The messages of a page in their latest states. */
  #current(messages: readonly StoredMessage[]): StoredMessage[] {
    return messages.map((m) => {
      const since = this.#since.get(m.seq);
      return since && since.changedSeq > m.changedSeq ? since : m;
    });
  }

  /** The same, and where the page reached the newest message, those that have come since. */
  #whole(page: readonly StoredMessage[], newest: boolean, after = 0): StoredMessage[] {
    const messages = this.#current(page);
    if (newest) {
      const last = messages.at(-1)?.seq ?? after;
      const since = [...this.#since.values()].filter((m) => m.seq > last);
      messages.push(...since.sort((a, b) => a.seq - b.seq));
    }
    return messages;
  }

  /** The index of the first message at or after a place. */
  #at(seq: number): number {
    let low = 0;
    let high = this.#messages.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#messages[middle] as StoredMessage).seq < seq) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
