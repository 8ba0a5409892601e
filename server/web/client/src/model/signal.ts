import type { Observable } from "../api.js";
import { soon } from "../observable.js";

/** Tells the subscribers of many signals of their changes, all in one task. */
export class Notifier {
  readonly #changed = new Set<Signal<unknown>>();
  readonly #run = () => {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const signal of changed) {
      signal.notify();
    }
  };

  add(signal: Signal<unknown>): void {
    this.#changed.add(signal);
    soon(this.#run);
  }
}

/** What happens when a signal gets its first subscriber and loses its last one. */
export interface Interest {
  begin?(): void;
  end?(): void;
}

/** An observable whose value is computed when it is read, and then kept until {@link invalidate}: what nobody reads costs nothing. */
export class Signal<T> implements Observable<T> {
  readonly #notifier: Notifier;
  readonly #compute: (before: T | undefined) => T;
  readonly #interest: Interest;
  readonly #subscribers = new Set<{ call: () => void }>();
  #dirty = true;
  #value: T | undefined;
  #told: T | undefined;

  /** `compute` gets the value before, to return it where nothing has changed. */
  constructor(notifier: Notifier, compute: (before: T | undefined) => T, interest: Interest = {}) {
    this.#notifier = notifier;
    this.#compute = compute;
    this.#interest = interest;
  }

  get(): T {
    if (this.#dirty) {
      this.#value = this.#compute(this.#value);
      this.#dirty = false;
    }
    return this.#value as T;
  }

  get observed(): boolean {
    return this.#subscribers.size > 0;
  }

  subscribe(changed: () => void): () => void {
    const subscriber = { call: changed };
    this.#subscribers.add(subscriber);
    if (this.#subscribers.size === 1) {
      this.#told = this.get();
      this.#interest.begin?.();
    }
    return () => {
      if (this.#subscribers.delete(subscriber) && this.#subscribers.size === 0) {
        this.#interest.end?.();
      }
    };
  }

  invalidate(): void {
    this.#dirty = true;
    if (this.#subscribers.size > 0) {
      this.#notifier.add(this as Signal<unknown>);
    }
  }

  /** Calls the subscribers if the value is another one than they were told of. */
  notify(): void {
    if (this.#subscribers.size === 0) {
      return;
    }
    const value = this.get();
    if (value === this.#told) {
      return;
    }
    this.#told = value;
    for (const subscriber of [...this.#subscribers]) {
      if (this.#subscribers.has(subscriber)) {
        subscriber.call();
      }
    }
  }
}

/** A signal that is set. */
export class Cell<T> extends Signal<T> {
  readonly #box: { value: T };

  constructor(notifier: Notifier, value: T, interest?: Interest) {
    const box = { value };
    super(notifier, () => box.value, interest);
    this.#box = box;
  }

  set(value: T): void {
    if (value !== this.#box.value) {
      this.#box.value = value;
      this.invalidate();
    }
  }
}
