import { GoodbyeReason } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { End } from "./connection.js";
import { milliseconds } from "./errors.js";

/** The first delay's bound, and the bound of all, in milliseconds. */
const base = 500;
const cap = 30_000;
/** How long a connection has to be ready for the backoff to begin anew: else a server that fails right after hello would be asked without end. */
const steadyAfter = 10_000;

/**
 * How long to wait before a repetition, where there were `failures` before; in milliseconds. A random time up to a bound that doubles, so that many clients that
 * failed together don't come back together ("full jitter": Exponential Backoff And Jitter, AWS Architecture Blog, 2015).
 */
export function backoff(failures: number): number {
  return Math.random() * Math.min(cap, base * 2 ** failures);
}

/** Decides what follows the end of a connection. */
export class Retries {
  /** Failures since the last steady connection. */
  failures = 0;
  /** The token that was refused last, where that is why the connection ended. */
  stale: string | undefined;

  /**
   * How long to wait before the next attempt, in milliseconds; undefined where none makes sense.
   * @param token The one that was used; undefined where none was to be had.
   * @param lived How long the connection was ready, in milliseconds.
   */
  after(end: End, token: string | undefined, lived: number): number | undefined {
    this.stale = undefined;
    if (lived >= steadyAfter) this.failures = 0;
    if ("reopen" in end) return 0;
    const failures = this.failures++;
    // The session only has to be refreshed, or it turns out to have ended.
    const refresh = () => {
      this.stale = token;
      return failures === 0 ? 0 : backoff(failures);
    };
    if ("goodbye" in end) {
      const { reason, reconnectDelay } = end.goodbye;
      switch (reason) {
        case GoodbyeReason.SUPERSEDED:
        case GoodbyeReason.PROTOCOL_ERROR:
          return undefined;
        case GoodbyeReason.TOKEN_EXPIRED:
        case GoodbyeReason.SESSION_REVOKED:
          return refresh();
        default:
          return reconnectDelay ? milliseconds(reconnectDelay) : backoff(failures); // the server has spread it out already
      }
    }
    const { code, reason, retryAfter } = end.error;
    if (code === "unauthenticated") return token === undefined ? undefined : refresh();
    if (code === "invalid_argument" && reason !== "INVALID_TOKEN") return undefined;
    return (retryAfter ?? 0) + backoff(failures);
  }
}

/** Waits, until the time is over or the signal is aborted. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}
