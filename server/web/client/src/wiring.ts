import type { Observable } from "./api.js";
import { createCalls } from "./calls.js";
import { browserKeep, type Keep, memoryKeep } from "./keep.js";
import { createLink, type LinkParts } from "./link.js";
import type { Network } from "./network.js";
import { createSession } from "./session.js";
import type { Calls, Link, LinkOptions, Session } from "./wire.js";

export interface WireOptions {
  readonly network: Network;
  /** Begins the names of what is kept, and of the lock and channel between tabs. */
  readonly storagePrefix?: string;
  /** Names the session in the list of sessions. */
  readonly deviceName?: string;
  /** Keeps nothing beyond this object, and shares nothing with other tabs. */
  readonly inMemory?: boolean;
  /** Tabs don't agree on one connection: each has its own, as a device of its own, or each would end the others'. */
  readonly alone?: boolean;
  /** For tests, and where the global ones are not the right ones. */
  readonly locks?: Pick<LockManager, "request">;
  readonly link?: Pick<LinkParts, "surroundings" | "times">;
}

/** The network's half of a chat. */
export interface Wire {
  /** Whether the session outlives the page. */
  readonly keeps: Observable<boolean>;
  readonly session: Session;
  readonly calls: Calls;
  createLink(options: Pick<LinkOptions, "hello" | "events">): Link;
  /** Ends the use of session and network; links are stopped before by whoever has started them. */
  close(): void;
}

/** Puts session, calls and link together. */
export function createWire(options: WireOptions): Wire {
  const name = `${options.storagePrefix ?? "natterjack"}.session`;
  const keep: Keep = options.inMemory ? memoryKeep() : browserKeep(name);
  const session = createSession({
    transport: options.network.calls,
    keep,
    deviceName: options.deviceName ?? browserName(),
    ...(!options.inMemory && { shared: { name, ...(options.locks && { locks: options.locks }) } }),
  });
  const calls = createCalls(session, options.network.calls);
  return {
    keeps: keep.works,
    session,
    calls,
    createLink: (link) =>
      createLink(
        { ...link, session, calls },
        { network: options.network, keep: options.alone ? memoryKeep() : keep, ...options.link },
      ),
    close() {
      session.close();
      options.network.close?.();
    },
  };
}

/** What a user will recognise the device by, such as "Firefox on Linux". */
export function browserName(userAgent = globalThis.navigator?.userAgent ?? ""): string {
  const find = (names: readonly (readonly [string, RegExp])[]) => names.find(([, pattern]) => pattern.test(userAgent))?.[0];
  // The order matters: most browsers claim to be others, too.
  const browser = find([
    ["Edge", /\bEdgA?\//],
    ["Opera", /\bOPR\//],
    ["Firefox", /\b(Firefox|FxiOS)\//],
    ["Chrome", /(Chrome|CriOS)\//],
    ["Safari", /\bSafari\//],
    ["Node.js", /\bNode\.js\b/],
  ]);
  const system = find([
    ["Android", /\bAndroid\b/],
    ["iOS", /\b(iPhone|iPad|iPod)\b/],
    ["Windows", /\bWindows\b/],
    ["macOS", /\bMac OS X\b/],
    ["ChromeOS", /\bCrOS\b/],
    ["Linux", /\bLinux\b/],
  ]);
  return [browser ?? "Browser", system].filter(Boolean).join(" on ");
}
