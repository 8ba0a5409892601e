/** Web Locks as far as the client uses them: exclusive, by name, one after the other. Node has none. */
export class Locks {
  readonly #last = new Map<string, Promise<unknown>>();

  request = (<R>(name: string, work: (lock: Lock) => Promise<R>): Promise<R> => {
    const result = (this.#last.get(name) ?? Promise.resolve()).then(() => work({ name, mode: "exclusive" }));
    this.#last.set(
      name,
      result.catch(() => undefined),
    );
    return result;
  }) as LockManager["request"];
}
