import type { Transport } from "@connectrpc/connect";
import "fake-indexeddb/auto";
import { onTestFinished } from "vitest";
import type { Chat } from "../src/api.js";
import { createChat, type Parts } from "../src/chat.js";
import { nodeNetwork } from "../src/node.js";
import type { Surroundings } from "../src/surroundings.js";
import { TestLocks } from "./locks.js";

let browsers = 0;

/** A browser profile with any number of tabs; its databases, locks and channels are its own. */
export class Browser {
  readonly #server: { readonly url: string };
  /** Begins the names of its databases. */
  readonly prefix = `browser-${++browsers}`;
  readonly #locks = new TestLocks();
  readonly #watchers = new Set<() => void>();
  /** How many streams its tabs have opened. */
  streams = 0;
  #online = true;

  constructor(server: { readonly url: string }) {
    this.#server = server;
  }

  /** Opens a tab; it is closed with the test, if it wasn't before. */
  open(parts: Parts = {}): Chat {
    const around: Surroundings = {
      online: () => this.#online,
      visible: () => true,
      watch: (changed) => {
        this.#watchers.add(changed);
        return () => this.#watchers.delete(changed);
      },
    };
    const network = nodeNetwork(this.#server.url);
    const streams: Transport = {
      unary: network.streams.unary.bind(network.streams),
      stream: (...call) => {
        this.streams++;
        return network.streams.stream(...call);
      },
    };
    const chat = createChat(
      { storagePrefix: this.prefix },
      { network: { ...network, streams }, locks: this.#locks, surroundings: around, ...parts },
    );
    onTestFinished(() => chat.close());
    return chat;
  }

  setOnline(online: boolean): void {
    this.#online = online;
    for (const changed of [...this.#watchers]) {
      changed();
    }
  }
}
