import type { User } from "./api.js";
import type { Outcome } from "./model/outcome.js";
import type { StoredConversation, Tail } from "./model/records.js";
import type { Kept, Storage } from "./storage.js";
import { uuid7 } from "./uuid.js";

/** How long changes gather before they are stored, in milliseconds. */
const gather = 300;

/** What the server told, and is to be stored. */
interface Told {
  reset: boolean;
  readonly records: Map<string, StoredConversation | undefined>;
  readonly users: Map<string, User>;
  token: Uint8Array | undefined;
}

function nothing(): Told {
  return { reset: false, records: new Map(), users: new Map(), token: undefined };
}

/**
 * Gathers what is to be kept, and stores it: a token together with all that came before it. Every tab gathers, and the one that leads stores what the server
 * told: so a tab that takes the lead stores what it has heard and the one before it could not store any more.
 */
export class Ledger {
  /** Where to resume: everything before is stored. Empty where nothing is. */
  token = new Uint8Array();

  readonly #storage: Storage;
  readonly #userId: string;
  readonly #by = uuid7();
  readonly #tails: () => Tail[];
  #leads = false;
  #told = nothing();
  /** The newest token, while something before it is missing. */
  #held: Uint8Array | undefined;
  #drafts = new Map<string, string | undefined>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `tails` gives the tails that have changed since it was called last. */
  constructor(storage: Storage, userId: string, tails: () => Tail[]) {
    this.#storage = storage;
    this.#userId = userId;
    this.#tails = tails;
  }

  /** Reads what is kept. A tab that doesn't lead begins anew with it. */
  async open(): Promise<Kept> {
    await this.store();
    if (!this.#leads) {
      this.#told = nothing();
    }
    const kept = await this.#storage.open(this.#userId);
    this.token = new Uint8Array(kept.token ?? []);
    return kept;
  }

  /** Begins to store what the server tells, in place of any other tab, or leaves it to another one. */
  async lead(leads: boolean): Promise<void> {
    this.#leads = leads;
    if (leads) {
      await this.#storage.lead(this.#userId, this.#by);
    }
  }

  /** Notes what the model has come to. With `behind` it has not come to all before the token, which waits until it has. */
  note(o: Outcome, behind: boolean): void {
    if (o.reset) {
      this.#told = { ...nothing(), reset: true };
      this.#held = undefined;
      this.token = new Uint8Array();
    }
    for (const [id, record] of o.records) {
      this.#told.records.set(id, record);
    }
    for (const [id, user] of o.users) {
      this.#told.users.set(id, user);
    }
    this.#held = o.token ?? this.#held;
    if (this.#held && !behind) {
      this.#told.token = this.#held;
      this.#held = undefined;
    }
    if (o.reset) {
      void this.store(); // before anybody reads what is not true any more
    } else {
      this.soon();
    }
  }

  noteDraft(id: string, text: string): void {
    this.#drafts.set(id, text === "" ? undefined : text);
    void this.store(); // drafts come when writing pauses, and when the page goes: then later is too late
  }

  /** Stores what has gathered, after some time in which more may. */
  soon(): void {
    this.#timer ??= setTimeout(() => void this.store(), gather);
  }

  /** Stores what has gathered, now. */
  async store(): Promise<void> {
    this.stop();
    const told = this.#leads ? this.#told : nothing();
    if (this.#leads) {
      this.#told = nothing();
    }
    const drafts = this.#drafts;
    this.#drafts = new Map();
    await this.#storage.write(this.#userId, {
      by: this.#by,
      reset: told.reset,
      conversations: told.records,
      users: told.users,
      ...(told.token && { token: told.token }),
      drafts,
      tails: this.#tails(),
    });
    if (told.token) {
      this.token = new Uint8Array(told.token);
    }
  }

  /** Stores nothing by itself any more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
