import type { Observable } from "./api.js";

/** A value that its owner changes; everybody else sees it as an {@link Observable}. */
export class Value<T> implements Observable<T> {
  #value: T;
  readonly #listeners = new Set<{ changed(): void }>();
  readonly #tell = () => {
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) listener.changed();
    }
  };

  constructor(value: T) {
    this.#value = value;
  }

  get(): T {
    return this.#value;
  }

  /** Changes the value; subscribers hear of it in a later task. The same value again is no change. */
  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    if (this.#listeners.size > 0) soon(this.#tell);
  }

  subscribe(changed: () => void): () => void {
    const listener = { changed }; // the same function may subscribe twice
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

let waiting = new Set<() => void>();

/**
 * Runs work in a task of its own, once for any number of calls before it runs. What one piece of work throws is reported as an uncaught error
 * and keeps no other from running.
 */
export function soon(work: () => void): void {
  if (waiting.size === 0) nextTask(runWaiting);
  waiting.add(work);
}

function runWaiting(): void {
  const now = waiting;
  waiting = new Set();
  for (const work of now) {
    try {
      work();
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

// Not setTimeout: browsers hold it back for up to a second in tabs that aren't shown, where other tabs wait for what this one says.
const nextTask: (run: () => void) => void = (() => {
  // Node's; there an open channel would keep the process running.
  const { setImmediate } = globalThis as { setImmediate?: (run: () => void) => void };
  if (setImmediate) return setImmediate;
  let channel: MessageChannel | undefined;
  return (run) => {
    if (!channel) {
      channel = new MessageChannel();
      channel.port1.onmessage = run; // it is always runWaiting
    }
    channel.port2.postMessage(null);
  };
})();
