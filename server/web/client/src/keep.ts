import type { DBSchema } from "idb";
import type { Observable } from "./api.js";
import { Database } from "./database.js";
import { always } from "./follow.js";

/** A few small values that outlive the page. */
export interface Keep {
  /** Whether they do: false where they end with the page. */
  readonly works: Observable<boolean>;
  get<T>(key: string): Promise<T | undefined>;
  /** Replaces a value by what `change` makes of it, in one transaction over all tabs, and returns it. Undefined removes it. `change` may run twice. */
  update<T>(key: string, change: (old: T | undefined) => T | undefined): Promise<T | undefined>;
  close(): void;
}

/** Keeps values as long as the object lives. */
export function memoryKeep(): Keep {
  const values = new Map<string, unknown>();
  return {
    works: always(false),
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

interface Schema extends DBSchema {
  values: { key: string; value: unknown };
}

/**
 * Keeps values in IndexedDB under that name. Where it is missing or broken (private windows, a full disk, policies) they are kept in memory: then a
 * reload asks to sign in again, which is better than no chat at all.
 */
export function browserKeep(name: string): Keep {
  const memory = memoryKeep();
  const database = new Database<Schema>({
    name,
    version: 1,
    stores: ["values"],
    upgrade: (db) => void db.createObjectStore("values"),
  });
  return {
    works: database.works,
    async get<T>(key: string) {
      // What could not be stored is newer than what is stored.
      const newer = await memory.get<T>(key);
      return newer ?? database.use((db) => db.get("values", key) as Promise<T | undefined>).catch(() => undefined);
    },
    update<T>(key: string, change: (old: T | undefined) => T | undefined) {
      let stored: T | undefined;
      return database
        .use(async (db) => {
          const newer = await memory.get<T>(key);
          const tx = db.transaction("values", "readwrite");
          stored = (await tx.store.get(key)) as T | undefined;
          const value = change(newer ?? stored);
          await (value === undefined ? tx.store.delete(key) : tx.store.put(value, key));
          await tx.done;
          await memory.update(key, () => undefined);
          return value;
        })
        .catch(() => memory.update<T>(key, (newer) => change(newer ?? stored)));
    },
    close: () => database.close(),
  };
}
