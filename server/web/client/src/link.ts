import type { Ack } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { ConnectionState } from "./api.js";
import { type Connection, type End, presence, StreamConnection, SubscribeConnection, type Times, times } from "./connection.js";
import { networkError, toChatError } from "./errors.js";
import { fits } from "./form.js";
import type { Keep } from "./keep.js";
import type { Network } from "./network.js";
import { Value } from "./observable.js";
import { pause, Retries } from "./retries.js";
import { type Surroundings, surroundings } from "./surroundings.js";
import { Way } from "./way.js";
import type { Link, LinkOptions, Say } from "./wire.js";

export interface LinkParts {
  readonly network: Network;
  /** Keeps the device's id and the number of its connections. */
  readonly keep: Keep;
  readonly surroundings?: Surroundings;
  /** For tests. */
  readonly times?: Partial<Times>;
}

/** Makes a link; it connects when it is started. */
export function createLink(options: LinkOptions, parts: LinkParts): Link {
  return new KeptLink(options, parts);
}

class KeptLink implements Link {
  readonly state = new Value<ConnectionState>({ status: "stopped" });

  readonly #options: LinkOptions;
  readonly #parts: LinkParts;
  readonly #surroundings: Surroundings;
  readonly #times: Times;
  readonly #way: Way;
  /** Ends what runs between start and stop. */
  #running: AbortController | undefined;
  #connection: Connection | undefined;
  /** Ends the pause between two attempts. */
  #hurry: AbortController | undefined;
  #watched: readonly string[] = [];
  /** What the owner has said; else whether the page is shown decides. */
  #inUse: boolean | undefined;
  /** The server doesn't know the model's token; set until it has given another one. */
  #tokenRefused = false;

  constructor(options: LinkOptions, parts: LinkParts) {
    this.#options = options;
    this.#parts = parts;
    this.#surroundings = parts.surroundings ?? surroundings();
    this.#times = { ...times, ...parts.times };
    this.#way = new Way(parts.network, this.#times);
  }

  start(): void {
    if (this.#running) return;
    const running = new AbortController();
    this.#running = running;
    const unwatch = this.#surroundings.watch(this.#surroundingsWatcher());
    running.signal.addEventListener("abort", unwatch);
    void this.#run(running);
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#connection?.leave();
    this.#connection = undefined;
    this.state.set({ status: "stopped" });
  }

  reconnect(): void {
    this.#hurry?.abort();
    this.#connection?.probe();
  }

  say(request: Say): Promise<Ack> {
    return this.#connection?.say(request) ?? Promise.reject(networkError("there is no connection"));
  }

  watch(userIds: readonly string[]): void {
    const wanted = new Set(userIds);
    // Tabs say it again whenever they come or are shown, and over Subscribe each change opens the stream anew.
    if (wanted.size === this.#watched.length && this.#watched.every((id) => wanted.has(id))) return;
    this.#watched = [...wanted];
    this.#connection?.watch(this.#watched);
  }

  setInUse(inUse: boolean): void {
    const before = this.#isInUse();
    this.#inUse = inUse;
    if (inUse !== before) this.#connection?.setInUse(inUse);
  }

  #isInUse(): boolean {
    return this.#inUse ?? this.#surroundings.visible();
  }

  /** What happens when something around the page has changed. */
  #surroundingsWatcher(): () => void {
    let wasInUse = this.#isInUse();
    let wasOnline = this.#surroundings.online();
    return () => {
      const inUse = this.#isInUse();
      if (inUse !== wasInUse) this.#connection?.setInUse(inUse);
      const online = this.#surroundings.online();
      if (online !== wasOnline || this.#surroundings.visible()) {
        this.#connection?.probe();
        if (online) this.#hurry?.abort();
        if (online && !wasOnline) this.#way.tryStream();
      }
      wasInUse = inUse;
      wasOnline = online;
    };
  }

  /** Connects again and again until it is stopped, or until that makes no sense any more. */
  async #run(running: AbortController): Promise<void> {
    const { signal } = running;
    const retries = new Retries();
    this.state.set({ status: "connecting" });
    while (!signal.aborted) {
      const { end, token, lived } = await this.#connect(retries.stale, signal);
      if (signal.aborted) return;
      if ("error" in end && end.error.reason === "INVALID_TOKEN") this.#tokenRefused = true;
      const delay = retries.after(end, token, lived);
      if (delay === undefined) break;
      if ("reopen" in end) continue; // too short to be told: it stays live
      await this.#wait(delay, retries.failures, signal);
      if (!signal.aborted && this.state.get().status !== "offline") this.state.set({ status: "connecting" });
    }
    if (!signal.aborted) this.stop();
  }

  async #wait(delay: number, attempt: number, signal: AbortSignal): Promise<void> {
    if (delay > 0) {
      this.state.set(
        this.#surroundings.online() ? { status: "waiting", retryTime: Date.now() + delay, attempt } : { status: "offline" },
      );
    }
    const hurry = new AbortController();
    this.#hurry = hurry;
    const stop = () => hurry.abort();
    signal.addEventListener("abort", stop);
    await pause(delay, hurry.signal);
    signal.removeEventListener("abort", stop);
    if (this.#hurry === hurry) this.#hurry = undefined;
  }

  /** Makes one connection, and returns when it has ended. `lived` is how long it was ready, in milliseconds. */
  async #connect(stale: string | undefined, signal: AbortSignal): Promise<{ end: End; token?: string; lived: number }> {
    let token: string | undefined;
    let since = Number.POSITIVE_INFINITY;
    try {
      token = await this.#options.session.accessToken(stale);
      const [hello, device] = await Promise.all([this.#options.hello(), this.#device()]);
      if (signal.aborted) return { end: { error: networkError("the link was stopped") }, lived: 0 };
      const stream = this.#way.stream;
      const options = {
        token,
        hello: {
          ...(this.#tokenRefused ? {} : hello),
          deviceId: device.id,
          attempt: BigInt(device.attempt),
          presence: presence(this.#isInUse()),
        },
        watched: this.#watched,
        times: this.#times,
        events: this.#options.events,
        ready: () => {
          since = Date.now();
          if (this.state.get().status !== "live") this.state.set({ status: "catching-up" });
        },
        caughtUp: () => {
          this.#tokenRefused = false;
          const over = stream ? this.#parts.network.over : "subscribe";
          const state = this.state.get();
          // The server says it from time to time with a newer token.
          if (state.status !== "live" || state.over !== over) this.state.set({ status: "live", over });
        },
      };
      const connection = stream
        ? new StreamConnection(this.#parts.network.streams, options)
        : new SubscribeConnection(this.#parts.network.calls, this.#options.calls.chat, options);
      this.#connection = connection;
      const end = await this.#way.run(connection);
      if (connection.wasSilent) this.#parts.network.renew?.();
      if (this.#connection === connection) this.#connection = undefined;
      return { end, token, lived: Math.max(0, Date.now() - since) };
    } catch (thrown) {
      return { end: { error: toChatError(thrown) }, ...(token && { token }), lived: 0 };
    }
  }

  /** The device's id, and the number of this connection among its connections. */
  async #device(): Promise<{ id: string; attempt: number }> {
    const device = await this.#parts.keep.update<{ id: string; attempt: number }>("device", (old) =>
      fits({ id: "", attempt: 0 }, old) && old ? { id: old.id, attempt: old.attempt + 1 } : { id: randomId(), attempt: 1 },
    );
    return device as { id: string; attempt: number };
  }
}

/** An id for a device. Not crypto.randomUUID, which pages without a secure context don't have. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
