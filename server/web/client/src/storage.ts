import { type DBSchema, type IDBPDatabase, type IDBPObjectStore, openDB } from "idb";
import type { Account, User } from "./api.js";
import type { OutboxItem, StoredConversation, Tail } from "./model/records.js";

/** The version of the records' form. Another one found is dropped, but for the outbox and the drafts: all the rest comes again from the server. */
const version = 1;
/** How many conversations' newest messages are kept: those that were seen last. */
const maxTails = 200;

/** All that is read at the start; tails are read one by one. */
export interface Kept {
  readonly account?: Account;
  readonly token?: Uint8Array;
  readonly conversations: readonly StoredConversation[];
  readonly users: readonly User[];
  readonly drafts: readonly (readonly [conversationId: string, text: string])[];
  readonly outbox: readonly OutboxItem[];
}

/** A change of what is kept; all of it is stored, or nothing. An undefined value is deleted. */
export interface Change {
  /**
   * Who stores what the server told: conversations, users and token are passed over unless it was the last one to {@link Storage.lead}. A tab that was
   * frozen and wakes must not put what was over what is.
   */
  readonly by?: string;
  /** Drops conversations, users, tails and token first. */
  readonly reset?: boolean;
  readonly account?: Account;
  readonly token?: Uint8Array;
  readonly conversations?: ReadonlyMap<string, StoredConversation | undefined>;
  readonly users?: ReadonlyMap<string, User>;
  readonly tails?: readonly Tail[];
  readonly drafts?: ReadonlyMap<string, string | undefined>;
  readonly outbox?: ReadonlyMap<string, OutboxItem | undefined>;
}

/** What the device keeps of one user. Nothing rejects: what can't be kept is not kept. */
export interface Storage {
  /** Reads what was kept of this user; what was kept of another one is dropped first. */
  open(userId: string): Promise<Kept>;
  /** Lets one tab, from now on, store what the server tells. */
  lead(userId: string, by: string): Promise<void>;
  /** Stores a change, if what is kept is still of that user. Changes are stored in the order of the calls. */
  write(userId: string, change: Change): Promise<void>;
  tail(conversationId: string): Promise<Tail | undefined>;
  /** Drops everything. */
  clear(): Promise<void>;
  close(): void;
}

const nothing: Kept = { conversations: [], users: [], drafts: [], outbox: [] };

/** Keeps tails only, for as long as it lives: everything else is in the model anyway. */
export function memoryStorage(): Storage {
  let tails = new Map<string, Tail>();
  return {
    async open() {
      return nothing;
    },
    async lead() {},
    async write(_, change) {
      if (change.reset) {
        tails.clear();
      }
      for (const [id, record] of change.conversations ?? []) {
        if (!record) {
          tails.delete(id);
        }
      }
      for (const tail of change.tails ?? []) {
        tails.delete(tail.conversationId);
        tails.set(tail.conversationId, tail);
      }
      for (const id of tails.keys()) {
        if (tails.size <= maxTails) {
          break;
        }
        tails.delete(id);
      }
    },
    async tail(id) {
      return tails.get(id);
    },
    async clear() {
      tails = new Map();
    },
    close() {},
  };
}

interface Schema extends DBSchema {
  meta: { key: "userId" | "leader" | "account" | "token"; value: string | Account | Uint8Array };
  conversations: { key: string; value: StoredConversation };
  users: { key: string; value: User };
  tails: { key: string; value: Tail & { savedTime: number }; indexes: { savedTime: number } };
  drafts: { key: string; value: string };
  outbox: { key: string; value: OutboxItem };
}

type Store = "meta" | "conversations" | "users" | "tails" | "drafts" | "outbox";
const stores: Store[] = ["meta", "conversations", "users", "tails", "drafts", "outbox"];
type Database = IDBPDatabase<Schema>;

/** Keeps everything in IndexedDB; where that is missing or breaks, in memory from then on. */
export function browserStorage(name: string): Storage {
  const memory = memoryStorage();
  let opened: Promise<Database> | undefined;
  let closed = false;
  let last: Promise<unknown> = Promise.resolve();
  /** Something could not be stored: no token may promise that it was. */
  let gap = false;

  const letGo = () => {
    void opened?.then(
      (db) => db.close(),
      () => undefined,
    );
    opened = undefined;
  };
  const open = () => {
    opened ??= openDatabase(name, letGo);
    return opened;
  };
  // One after the other, so that a change never overtakes an earlier one that is tried again.
  const run = <R>(stored: (db: Database) => Promise<R>, otherwise: () => Promise<R>): Promise<R> => {
    const result = last.then(async () => {
      for (let attempt = 0; attempt < 2 && !closed; attempt++) {
        try {
          return await stored(await open());
        } catch {
          letGo(); // the browser may have closed the connection under our hands: once more
        }
      }
      return otherwise();
    });
    last = result;
    return result;
  };

  return {
    open: (userId) =>
      run(
        (db) => read(db, userId),
        () => memory.open(userId),
      ),
    lead: (userId, by) =>
      run(
        (db) => lead(db, userId, by),
        () => memory.lead(userId, by),
      ),
    write: (userId, change) =>
      run(
        async (db) => {
          gap &&= !change.reset;
          await write(db, userId, change, gap);
        },
        () => {
          gap = true;
          return memory.write(userId, change);
        },
      ),
    tail: (id) =>
      run(
        async (db) => (await db.get("tails", id)) ?? memory.tail(id),
        () => memory.tail(id),
      ),
    clear: () =>
      run(
        async (db) => {
          const tx = db.transaction(stores, "readwrite");
          await Promise.all([...stores.map((s) => tx.objectStore(s).clear()), tx.done]);
        },
        () => memory.clear(),
      ),
    close() {
      void last.then(() => {
        closed = true;
        letGo();
      });
    },
  };
}

function openDatabase(name: string, letGo: () => void): Promise<Database> {
  return openDB<Schema>(name, version, {
    upgrade(db, old, _new, tx) {
      if (old === 0) {
        for (const store of stores) {
          const s = db.createObjectStore(store);
          if (store === "tails") {
            (s as unknown as IDBObjectStore).createIndex("savedTime", "savedTime");
          }
        }
        return;
      }
      for (const store of ["conversations", "users", "tails"] as const) {
        void tx.objectStore(store).clear();
      }
      void tx.objectStore("meta").delete("token");
    },
    blocking: letGo, // a newer version of the page, in another tab, wants to change the database
    terminated: letGo,
  });
}

async function read(db: Database, userId: string): Promise<Kept> {
  const tx = db.transaction(stores, "readwrite");
  const meta = tx.objectStore("meta");
  if ((await meta.get("userId")) !== userId) {
    await Promise.all([...stores.map((s) => tx.objectStore(s).clear()), meta.put(userId, "userId"), tx.done]);
    return nothing;
  }
  const [account, token, conversations, users, drafts, draftIds, outbox] = await Promise.all([
    meta.get("account") as Promise<Account | undefined>,
    meta.get("token") as Promise<Uint8Array | undefined>,
    tx.objectStore("conversations").getAll(),
    tx.objectStore("users").getAll(),
    tx.objectStore("drafts").getAll(),
    tx.objectStore("drafts").getAllKeys(),
    tx.objectStore("outbox").getAll(),
    tx.done,
  ]);
  return {
    ...(account && { account }),
    ...(token && { token }),
    conversations,
    users,
    drafts: draftIds.map((id, i) => [id, drafts[i] ?? ""] as const),
    outbox,
  };
}

async function lead(db: Database, userId: string, by: string): Promise<void> {
  const tx = db.transaction("meta", "readwrite");
  if ((await tx.store.get("userId")) === userId) {
    await tx.store.put(by, "leader");
  }
  await tx.done;
}

/** Stores a change; with `gap` the token goes, so that the next start asks for everything. */
async function write(db: Database, userId: string, change: Change, gap: boolean): Promise<void> {
  const tx = db.transaction(stores, "readwrite");
  const meta = tx.objectStore("meta");
  if ((await meta.get("userId")) !== userId) {
    await tx.done;
    return; // signed out, or somebody else is signed in, in another tab
  }
  const done: Promise<unknown>[] = [];
  const put = <V>(
    store: "conversations" | "users" | "drafts" | "outbox",
    values: ReadonlyMap<string, V | undefined> = new Map(),
  ) => {
    const s = tx.objectStore(store);
    for (const [key, value] of values) {
      done.push(value === undefined ? s.delete(key) : s.put(value as never, key));
    }
  };
  if ((await meta.get("leader")) === change.by) {
    if (change.reset) {
      done.push(...(["conversations", "users", "tails"] as const).map((s) => tx.objectStore(s).clear()), meta.delete("token"));
    }
    put("conversations", change.conversations);
    put("users", change.users);
    for (const [id, record] of change.conversations ?? []) {
      if (!record) {
        done.push(tx.objectStore("tails").delete(id));
      }
    }
    if (gap) {
      done.push(meta.delete("token"));
    } else if (change.token) {
      done.push(meta.put(change.token, "token"));
    }
  }
  put("drafts", change.drafts);
  put("outbox", change.outbox);
  if (change.account) {
    done.push(meta.put(change.account, "account"));
  }
  if (change.tails?.length) {
    done.push(putTails(tx.objectStore("tails"), change.tails));
  }
  await Promise.all([...done, tx.done]);
}

/** Other tabs keep tails of the same conversations: the one that knows more stays. */
async function putTails(store: IDBPObjectStore<Schema, Store[], "tails", "readwrite">, tails: readonly Tail[]): Promise<void> {
  for (const tail of tails) {
    const there = await store.get(tail.conversationId);
    if (!there || there.cursor <= tail.cursor) {
      await store.put({ ...tail, savedTime: Date.now() }, tail.conversationId);
    }
  }
  const surplus = (await store.count()) - maxTails;
  if (surplus > 0) {
    for (const id of await store.index("savedTime").getAllKeys(null, surplus)) {
      await store.delete(id);
    }
  }
}
