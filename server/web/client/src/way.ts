import type { Connection, End, Times } from "./connection.js";
import type { Network } from "./network.js";

/** Which way a link takes: the stream, or Subscribe where only that works. It learns from what each connection came to. */
export class Way {
  /** Attempts in a row in which the stream could not be opened, and nobody said why. */
  #misses = 0;
  /** Subscribe has worked where the stream has not: from then on one miss is enough. */
  #blocked = false;
  #tryNow: (() => void) | undefined;

  constructor(
    private readonly network: Network,
    private readonly times: Times,
  ) {}

  /** Whether the stream is to be tried next. */
  get stream(): boolean {
    return !this.network.probe || this.#misses < (this.#blocked ? 1 : 2);
  }

  /** Runs a connection that was made for this way. */
  async run(connection: Connection): Promise<End> {
    if (!this.stream) return this.#runSubscribe(connection);
    const end = await connection.run();
    // A word of the server, be it a refusal, has come over the stream: so there is a way for it.
    if (connection.isReady || "goodbye" in end || ("error" in end && end.error.code !== "network")) {
      this.#misses = 0;
      this.#blocked = false;
    } else {
      this.#misses++;
    }
    return end;
  }

  /** Tries now whether a stream can be opened after all: the device may have come to another network. */
  tryStream(): void {
    this.#tryNow?.();
  }

  async #runSubscribe(connection: Connection): Promise<End> {
    const ended = new AbortController();
    // The first time soon: it may be that the server was away, and has come back just now.
    let timer = setTimeout(() => this.#tryNow?.(), this.#blocked ? this.times.tryAgain : this.times.firstTry);
    this.#tryNow = async () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#tryNow?.(), this.times.tryAgain);
      if (!(await this.network.probe?.(ended.signal)) || ended.signal.aborted) return;
      this.#misses = 0;
      connection.reopen();
    };
    const end = await connection.run();
    this.#tryNow = undefined;
    clearTimeout(timer);
    ended.abort();
    this.#blocked = connection.isReady;
    if (!this.#blocked) this.#misses = 0; // nothing works: that tells nothing of WebSockets
    return end;
  }
}
