import { type DBSchema, deleteDB, type IDBPDatabase, type IDBPTransaction, openDB, type StoreNames } from "idb";
import type { Observable } from "./api.js";
import { Value } from "./observable.js";
import { pause } from "./retries.js";

/** How long one piece of work may take, in milliseconds: behind another tab, or on a broken disk, IndexedDB may never answer. */
const patience = 10_000;

export interface DatabaseOptions<S extends DBSchema> {
  readonly name: string;
  /** The version of the form of what is kept. */
  readonly version: number;
  /** All there must be: where one is missing the database is not one of this client's, and is made anew. */
  readonly stores: readonly StoreNames<S>[];
  /** Makes the stores, or changes what an older version has kept. */
  upgrade(db: IDBPDatabase<S>, old: number, tx: IDBPTransaction<S, StoreNames<S>[], "versionchange">): void;
}

/**
 * A database of the browser. It is opened when it is needed, and anew where the browser has closed it. What can't be done, or isn't done in time, rejects:
 * nobody waits for ever. It is not deleted because it can't be opened: what it has may be read next time.
 */
export class Database<S extends DBSchema> {
  readonly #options: DatabaseOptions<S>;
  readonly #works = new Value(true);
  #opened: Promise<IDBPDatabase<S>> | undefined;
  #closed = false;
  /** Pieces of work that were given up and have not ended. Until they have, nothing else is begun: it would wait as well. */
  #late = 0;

  constructor(options: DatabaseOptions<S>) {
    this.#options = options;
  }

  /** Whether what was asked for last could be done. */
  get works(): Observable<boolean> {
    return this.#works;
  }

  /** Does a piece of work, which may be begun twice. */
  async use<R>(work: (db: IDBPDatabase<S>) => Promise<R>): Promise<R> {
    for (let attempt = 1; ; attempt++) {
      try {
        if (this.#closed || this.#late > 0) {
          throw tooLate();
        }
        const result = await this.#inTime(work);
        this.#works.set(true);
        return result;
      } catch (error) {
        if (this.#late === 0) {
          this.#letGo(); // the browser may have closed the connection under our hands: once more
        }
        if (this.#closed || this.#late > 0 || attempt === 2) {
          this.#works.set(false);
          throw error;
        }
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#letGo();
  }

  async #inTime<R>(work: (db: IDBPDatabase<S>) => Promise<R>): Promise<R> {
    let givenUp = false;
    const working = this.#open().then((db) => {
      if (givenUp) {
        throw tooLate(); // it must not come after what is done instead
      }
      return work(db);
    });
    const ended = new AbortController();
    const end = () => ended.abort();
    working.then(end, end);
    const watch = async (): Promise<R> => {
      // Twice half of it: while a page is frozen clocks go on, and nothing is answered.
      await pause(patience / 2, ended.signal);
      await pause(patience / 2, ended.signal);
      if (ended.signal.aborted) {
        return working;
      }
      givenUp = true;
      this.#late++;
      ended.signal.addEventListener("abort", () => this.#late--);
      throw tooLate();
    };
    return Promise.race([working, watch()]);
  }

  #open(): Promise<IDBPDatabase<S>> {
    this.#opened ??= this.#openRight();
    return this.#opened;
  }

  async #openRight(): Promise<IDBPDatabase<S>> {
    const { name, version, stores, upgrade } = this.#options;
    const letGo = () => this.#letGo();
    // Another version of the page, in another tab, wants to change it, or the browser took it away.
    const open = () =>
      openDB<S>(name, version, { upgrade: (db, old, _, tx) => upgrade(db, old, tx), blocking: letGo, terminated: letGo });
    const db = await open();
    if (stores.every((s) => db.objectStoreNames.contains(s))) {
      return db;
    }
    db.close();
    await deleteDB(name);
    return open();
  }

  #letGo(): void {
    void this.#opened?.then(
      (db) => db.close(),
      () => undefined,
    );
    this.#opened = undefined;
  }
}

function tooLate(): Error {
  return new Error("the browser's database doesn't answer");
}
