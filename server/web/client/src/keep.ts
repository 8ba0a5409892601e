import { type IDBPDatabase, openDB } from "idb";

/** A few small values that outlive the page. */
export interface Keep {
  get<T>(key: string): Promise<T | undefined>;
  /** Replaces a value by what `change` makes of it, in one transaction over all tabs, and returns it. Undefined removes it. `change` may run twice. */
  update<T>(key: string, change: (old: T | undefined) => T | undefined): Promise<T | undefined>;
  close(): void;
}

/** Keeps values as long as the object lives. */
export function memoryKeep(): Keep {
  const values = new Map<string, unknown>();
  return {
    async get<T>(key: string) {
      return values.get(key) as T | undefined;
    },
    async update<T>(key: string, change: (old: T | undefined) => T | undefined) {
      const value = change(values.get(key) as T | undefined);
      if (value === undefined) values.delete(key);
      else values.set(key, value);
      return value;
    },
    close() {},
  };
}

const store = "values";

/**
 * Keeps values in IndexedDB under that name. Where it is missing or broken (private windows, a full disk, policies) they are kept in memory: then a
 * reload asks to sign in again, which is better than no chat at all.
 */
export function browserKeep(name: string): Keep {
  const memory = memoryKeep();
  let opened: Promise<IDBPDatabase> | undefined;
  let closed = false;

  const open = () => {
    opened ??= openDB(name, 1, {
      upgrade: (db) => void db.createObjectStore(store),
      // Another version of this page wants to change the database, or the browser took it away: let go, and open it anew when needed.
      blocking: () => letGo(),
      terminated: () => letGo(),
    });
    return opened;
  };
  const letGo = () => {
    void opened?.then(
      (db) => db.close(),
      () => undefined,
    );
    opened = undefined;
  };
  const orMemory = async <R>(stored: (db: IDBPDatabase) => Promise<R>, inMemory: () => Promise<R>): Promise<R> => {
    for (let attempt = 0; attempt < 2 && !closed; attempt++) {
      try {
        return await stored(await open());
      } catch {
        letGo(); // the connection may have been closed under our hands: once more
      }
    }
    return inMemory();
  };

  return {
    async get<T>(key: string) {
      // What could not be stored is newer than what is stored.
      const newer = await memory.get<T>(key);
      return (
        newer ??
        orMemory<T | undefined>(
          (db) => db.get(store, key),
          async () => undefined,
        )
      );
    },
    update<T>(key: string, change: (old: T | undefined) => T | undefined) {
      let stored: T | undefined;
      return orMemory(
        async (db) => {
          const newer = await memory.get<T>(key);
          const tx = db.transaction(store, "readwrite");
          stored = await tx.store.get(key);
          const value = change(newer ?? stored);
          await (value === undefined ? tx.store.delete(key) : tx.store.put(value, key));
          await tx.done;
          await memory.update(key, () => undefined);
          return value;
        },
        () => memory.update<T>(key, (newer) => change(newer ?? stored)),
      );
    },
    close() {
      closed = true;
      letGo();
    },
  };
}
