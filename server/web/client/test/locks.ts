import type { Locks } from "../src/tabs.js";

interface Held {
  lost(error: Error): void;
}

/** Web Locks within one process: exclusive ones, in the order of asking, that can be given up while they wait, and stolen. */
export class TestLocks {
  readonly #held = new Map<string, Held>();
  readonly #waiting = new Map<string, (() => void)[]>();

  readonly request = ((name: string, a: LockOptions | (() => unknown), b?: () => unknown): Promise<unknown> => {
    const [options, work] = typeof a === "function" ? [{}, a] : [a, b as () => unknown];
    return new Promise((resolve, reject) => {
      const enter = () => {
        const held: Held = { lost: reject };
        this.#held.set(name, held);
        const leave = () => {
          if (this.#held.get(name) === held) {
            this.#held.delete(name);
            this.#next(name);
          }
        };
        // As browsers do: the work begins in a later task.
        setImmediate(() => {
          Promise.resolve().then(work).then(resolve, reject).finally(leave);
        });
      };
      if (options.steal) {
        this.#held.get(name)?.lost(new DOMException("the lock was stolen", "AbortError"));
        enter();
        return;
      }
      const queue = this.#waiting.get(name) ?? [];
      this.#waiting.set(name, queue);
      const entry = () => {
        options.signal?.removeEventListener("abort", giveUp);
        enter();
      };
      const giveUp = () => {
        const i = queue.indexOf(entry);
        if (i >= 0) {
          queue.splice(i, 1);
          reject(options.signal?.reason);
        }
      };
      options.signal?.addEventListener("abort", giveUp);
      queue.push(entry);
      this.#next(name);
    });
  }) as Locks["request"];

  #next(name: string): void {
    if (!this.#held.has(name)) {
      this.#waiting.get(name)?.shift()?.();
    }
  }
}
