/** A list kept in order of falling keys, those of equal keys by their names: one change costs a search and a move, not a sort. */
export class Ordered<T> {
  readonly #key: (item: T) => number;
  readonly #name: (item: T) => string;
  readonly #keys = new Map<T, number>();
  readonly #items: T[] = [];

  constructor(key: (item: T) => number, name: (item: T) => string) {
    this.#key = key;
    this.#name = name;
  }

  items(): readonly T[] {
    return this.#items;
  }

  /** Adds an item, or moves it where its key has changed. */
  put(item: T): void {
    const key = this.#key(item);
    const before = this.#keys.get(item);
    if (before === key) {
      return;
    }
    if (before !== undefined) {
      this.#items.splice(this.#at(before, this.#name(item)), 1);
    }
    this.#keys.set(item, key);
    this.#items.splice(this.#at(key, this.#name(item)), 0, item);
  }

  delete(item: T): void {
    const key = this.#keys.get(item);
    if (key !== undefined) {
      this.#items.splice(this.#at(key, this.#name(item)), 1);
      this.#keys.delete(item);
    }
  }

  #at(key: number, name: string): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const item = this.#items[middle] as T;
      const k = this.#keys.get(item) ?? 0;
      if (k > key || (k === key && this.#name(item) < name)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
