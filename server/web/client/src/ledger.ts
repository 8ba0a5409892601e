import type { Outcome } from "./model/model.js";
import type { StoredConversation, Tail } from "./model/records.js";
import type { Change, Kept, Storage } from "./storage.js";
import { uuid7 } from "./uuid.js";

/** How long changes gather before they are stored, in milliseconds. */
const gather = 300;

/** Gathers what is to be kept, and stores it: a token together with all that came before it. */
export class Ledger {
  /** Where to resume: everything before is stored. Empty where nothing is. */
  token = new Uint8Array();

  readonly #storage: Storage;
  readonly #userId: string;
  readonly #by = uuid7();
  readonly #tails: () => Tail[];
  #pending: { -readonly [K in keyof Change]: Change[K] } = {};
  /** The newest token, while something before it is missing. */
  #held: Uint8Array | undefined;
  #records = new Map<string, StoredConversation | undefined>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `tails` gives the tails that have changed since it was called last. */
  constructor(storage: Storage, userId: string, tails: () => Tail[]) {
    this.#storage = storage;
    this.#userId = userId;
    this.#tails = tails;
  }

  /** Reads what is kept, after what is still to be stored. */
  async open(): Promise<Kept> {
    await this.store();
    const kept = await this.#storage.open(this.#userId);
    this.token = new Uint8Array(kept.token ?? []);
    return kept;
  }

  /** Begins to store what the server tells, in place of any other tab. */
  async lead(): Promise<void> {
    await this.#storage.lead(this.#userId, this.#by);
  }

  /** Notes what the model has come to. With `behind` it has not come to all before the token, which waits until it has. */
  note(o: Outcome, behind: boolean): void {
    if (o.reset) {
      const { drafts } = this.#pending;
      this.#pending = { reset: true, ...(drafts && { drafts }) };
      this.#records = new Map();
      this.#held = undefined;
      this.token = new Uint8Array();
    }
    for (const [id, record] of o.records) {
      this.#records.set(id, record);
    }
    if (o.users.size > 0) {
      this.#pending.users = new Map([...(this.#pending.users ?? []), ...o.users]);
    }
    this.#held = o.token ?? this.#held;
    if (this.#held && !behind) {
      this.#pending.token = this.#held;
      this.#held = undefined;
    }
    if (o.reset) {
      void this.store(); // before anybody reads what is not true any more
    } else {
      this.soon();
    }
  }

  noteDraft(id: string, text: string): void {
    this.#pending.drafts = new Map([...(this.#pending.drafts ?? []), [id, text === "" ? undefined : text]]);
    void this.store(); // drafts come when writing pauses, and when the page goes: then later is too late
  }

  soon(): void {
    this.#timer ??= setTimeout(() => void this.store(), gather);
  }

  async store(): Promise<void> {
    this.stop();
    const change: Change = { ...this.#pending, by: this.#by, conversations: this.#records, tails: this.#tails() };
    this.#pending = {};
    this.#records = new Map();
    await this.#storage.write(this.#userId, change);
    if (change.token) {
      this.token = new Uint8Array(change.token);
    }
  }

  /** Stores nothing by itself any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
