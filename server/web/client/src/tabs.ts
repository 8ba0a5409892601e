import type { Account, ConnectionState, Presence } from "./api.js";
import type { OutboxItem } from "./model/records.js";
import { uuid7 } from "./uuid.js";

/** How often a tab that is shown asks whether the leader still answers, and how long the leader may take, in milliseconds. */
const askEvery = 10_000;
const answerWithin = 5_000;

/** What tabs tell each other. Kinds that a tab doesn't know are ignored: tabs of different versions share an origin. */
export type TabMessage =
  // The leader's.
  | { readonly kind: "lead" }
  | { readonly kind: "events"; readonly n: number; readonly bytes: Uint8Array }
  | { readonly kind: "state"; readonly state: ConnectionState }
  | {
      readonly kind: "welcome";
      readonly to: string;
      readonly n: number;
      readonly state: ConnectionState;
      readonly presences: readonly (readonly [string, Presence])[];
    }
  | { readonly kind: "alive" }
  // To the leader.
  | { readonly kind: "join" }
  | { readonly kind: "here"; readonly watch: readonly string[]; readonly inUse: boolean }
  | { readonly kind: "typing"; readonly conversationId: string; readonly typing: boolean }
  | { readonly kind: "reconnect" }
  | { readonly kind: "ask" }
  // To all.
  | { readonly kind: "outbox"; readonly changes: readonly (readonly [string, OutboxItem | undefined])[] }
  | { readonly kind: "read"; readonly conversationId: string; readonly seq: number }
  | { readonly kind: "draft"; readonly conversationId: string; readonly text: string }
  | { readonly kind: "account"; readonly account: Account };

export type Locks = Pick<LockManager, "request">;

export interface TabsOptions {
  /** Names lock and channel. */
  readonly name: string;
  readonly locks: Locks;
  /** Whether this tab is shown: only such a one takes the lead from a tab that doesn't answer. */
  visible(): boolean;
  /** This tab leads from now on, or does so no longer. */
  lead(leads: boolean): void;
  heard(message: TabMessage, from: string): void;
  /** A tab has gone. */
  gone(tab: string): void;
}

/** The tabs of one origin in which one user is signed in, of which one leads: that which has the lock. */
export class Tabs {
  readonly id = uuid7();
  readonly #options: TabsOptions;
  readonly #channel: BroadcastChannel;
  readonly #closed = new AbortController();
  readonly #known = new Set<string>();
  #leads = false;
  #ask: ReturnType<typeof setInterval> | undefined;
  #answer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: TabsOptions) {
    this.#options = options;
    this.#channel = new BroadcastChannel(options.name);
    this.#channel.onmessage = (e) => this.#heard((e as MessageEvent).data);
    // In Node a channel would keep the process running.
    (this.#channel as { unref?: () => void }).unref?.();
    // Others learn by it when this tab is gone, however it went.
    this.#hold(this.#tabLock(this.id), {}, () => {});
    this.#queue(false);
    this.#ask = setInterval(() => this.#askLeader(), askEvery);
    (this.#ask as { unref?: () => void }).unref?.();
  }

  get leads(): boolean {
    return this.#leads;
  }

  post(message: TabMessage): void {
    if (!this.#closed.signal.aborted) {
      this.#channel.postMessage({ from: this.id, message });
    }
  }

  close(): void {
    this.#closed.abort();
    clearInterval(this.#ask);
    clearTimeout(this.#answer);
    this.#channel.close();
  }

  #heard(data: unknown): void {
    const { from, message } = (data ?? {}) as { from?: unknown; message?: { kind?: unknown } };
    if (typeof from !== "string" || typeof message?.kind !== "string" || this.#closed.signal.aborted) {
      return;
    }
    if (this.#leads) {
      this.#meet(from);
      if (message.kind === "ask") {
        this.post({ kind: "alive" });
      }
    } else if (message.kind === "alive" || message.kind === "events" || message.kind === "state") {
      clearTimeout(this.#answer);
      this.#answer = undefined;
    }
    this.#options.heard(message as TabMessage, from);
  }

  /** Waits for a tab's end. */
  #meet(tab: string): void {
    if (this.#known.has(tab)) {
      return;
    }
    this.#known.add(tab);
    const gone = () => {
      this.#known.delete(tab);
      if (!this.#closed.signal.aborted) {
        this.#options.gone(tab);
      }
    };
    this.#options.locks.request(this.#tabLock(tab), { signal: this.#closed.signal }, gone).catch(() => undefined);
  }

  #tabLock(tab: string): string {
    return `${this.#options.name}-tab-${tab}`;
  }

  /** Queues for the lead; with `steal` takes it from a tab that doesn't answer. */
  #queue(steal: boolean): void {
    this.#hold(
      this.#options.name,
      steal ? { steal } : {},
      () => this.#lead(true),
      () => this.#lead(false),
    );
  }

  #hold(name: string, options: { steal?: true } | { steal?: boolean }, got: () => void, lost?: () => void): void {
    const { signal } = this.#closed;
    // The browsers' rule: what steals can't be given up while it waits, since it doesn't wait.
    const how: LockOptions = options.steal ? { steal: true } : { signal };
    this.#options.locks
      .request(name, how, () => {
        if (signal.aborted) {
          return undefined;
        }
        got();
        return new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      })
      .catch((error: unknown) => {
        if (signal.aborted) {
          return;
        }
        if (error instanceof DOMException && error.name === "AbortError") {
          lost?.(); // another tab took it
        } else {
          got(); // the browser refuses locks, as it does where site data are blocked: then tabs share nothing else either
        }
      });
  }

  #lead(leads: boolean): void {
    if (leads !== this.#leads) {
      this.#leads = leads;
      clearTimeout(this.#answer);
      this.#answer = undefined;
      this.#known.clear();
      this.#options.lead(leads);
    }
    if (!leads) {
      this.#queue(false);
    }
  }

  #askLeader(): void {
    if (this.#leads || this.#answer !== undefined || !this.#options.visible()) {
      return;
    }
    this.post({ kind: "ask" });
    this.#answer = setTimeout(() => {
      this.#answer = undefined;
      if (!this.#leads && !this.#closed.signal.aborted && this.#options.visible()) {
        this.#queue(true);
      }
    }, answerWithin);
  }
}
