/** A queue that is read as an async iterable, by one reader. */
export class Outgoing<T> implements AsyncIterable<T>, AsyncIterator<T, undefined> {
  readonly #waiting: T[] = [];
  #reader: ((result: IteratorResult<T, undefined>) => void) | undefined;
  #ended = false;

  push(value: T): void {
    if (this.#ended) return;
    if (this.#reader) {
      this.#reader({ done: false, value });
      this.#reader = undefined;
    } else {
      this.#waiting.push(value);
    }
  }

  /** Lets the reader take what waits; then it is at the end. */
  end(): void {
    this.#ended = true;
    this.#reader?.({ done: true, value: undefined });
    this.#reader = undefined;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#waiting.length > 0) return Promise.resolve({ done: false, value: this.#waiting.shift() as T });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#reader = resolve;
    });
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#waiting.length = 0;
    this.end();
    return { done: true, value: undefined };
  }

  /** Connect wants it, to end the queue with an error: the reader goes, and what waits with it. */
  async throw(error: unknown): Promise<IteratorResult<T, undefined>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return this;
  }
}
