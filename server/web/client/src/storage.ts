import type { DBSchema, IDBPDatabase, IDBPObjectStore, IDBPTransaction } from "idb";
import type { Account, Observable, User } from "./api.js";
import { Database } from "./database.js";
import { always } from "./follow.js";
import { isAccount, isConversation, isTail, isUser, toOutboxItem } from "./form.js";
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

/** What the device keeps of one user. Nothing rejects: what can't be kept is kept in memory, if it was written by the user, or not at all. */
export interface Storage {
  /** Whether what was written last outlives the page. */
  readonly works: Observable<boolean>;
  /** Reads what was kept of this user; what was kept of another one is dropped first. */
  open(userId: string): Promise<Kept>;
  /** Lets one tab, from now on, store what the server tells. */
  lead(userId: string, by: string): Promise<void>;
  /** Stores a change, if what is kept is still of that user. Changes are stored in the order of the calls. */
  write(userId: string, change: Change): Promise<void>;
  tail(conversationId: string): Promise<Tail | undefined>;
  /** Drops everything; with `told` all but what the user wrote and the server doesn't have, which waits for the same user's return. */
  clear(what: "all" | "told"): Promise<void>;
  close(): void;
}

const none: ReadonlyMap<string, undefined> = new Map();
const nothing: Kept = { conversations: [], users: [], drafts: [], outbox: [] };

/** Keeps, for as long as it lives, tails and what was written; everything else is in the model anyway. */
export function memoryStorage(): Storage {
  const tails = new Map<string, Tail>();
  const drafts = new Map<string, string>();
  const outbox = new Map<string, OutboxItem>();
  let owner: string | undefined;
  return {
    works: always(false),
    async open(userId) {
      if (owner !== userId) {
        await this.clear("all");
        owner = userId;
      }
      return { ...nothing, drafts: [...drafts], outbox: [...outbox.values()] };
    },
    async lead() {},
    async write(userId, change) {
      if (owner !== userId) {
        return;
      }
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
      enter(drafts, change.drafts);
      enter(outbox, change.outbox);
    },
    async tail(id) {
      return tails.get(id);
    },
    async clear(what) {
      tails.clear();
      if (what === "all") {
        drafts.clear();
        outbox.clear();
        owner = undefined;
      }
      for (const [id, item] of outbox) {
        if (item.state === "stored") {
          outbox.delete(id);
        }
      }
    },
    close() {},
  };
}

function enter<V>(map: Map<string, V>, changes: ReadonlyMap<string, V | undefined> = none): void {
  for (const [key, value] of changes) {
    if (value === undefined) {
      map.delete(key);
    } else {
      map.set(key, value);
    }
  }
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
type Db = IDBPDatabase<Schema>;
/** What comes again from the server. */
const told = ["conversations", "users", "tails"] as const;

/** Keeps everything in IndexedDB; where that is missing or breaks, in memory until it works again. */
export function browserStorage(name: string): Storage {
  const memory = memoryStorage();
  const database = new Database<Schema>({ name, version, stores, upgrade });
  let last: Promise<unknown> = Promise.resolve();
  /** Something could not be stored: no token may promise that it was. */
  let gap = false;
  /** What the user wrote and could not be stored: it goes before the next change that can. */
  const owed: [userId: string, written: Pick<Change, "drafts" | "outbox">][] = [];

  // One after the other, so that a change never overtakes an earlier one that is tried again.
  const run = <R>(stored: (db: Db) => Promise<R>, otherwise: () => Promise<R>): Promise<R> => {
    const result = last.then(() => database.use(stored)).catch(otherwise);
    last = result;
    return result;
  };
  const pay = async (db: Db) => {
    for (const debt of [...owed]) {
      await write(db, ...debt, gap);
      owed.shift();
    }
  };

  return {
    works: database.works,
    async open(userId) {
      await memory.open(userId);
      return run(
        async (db) => {
          const kept = await read(db, userId).catch(() => salvage(db, userId));
          if (owed.length === 0) {
            return kept;
          }
          await pay(db);
          return read(db, userId);
        },
        () => memory.open(userId),
      );
    },
    lead: (userId, by) =>
      run(
        (db) => lead(db, userId, by),
        () => memory.lead(userId, by),
      ),
    write: (userId, change) =>
      run(
        async (db) => {
          gap &&= !change.reset;
          await pay(db);
          await write(db, userId, change, gap);
        },
        () => {
          gap = true;
          const { drafts = none, outbox = none } = change;
          if (drafts.size + outbox.size > 0) {
            owed.push([userId, { drafts, outbox }]);
          }
          return memory.write(userId, change);
        },
      ),
    tail: (id) =>
      run(
        async (db) => {
          const tail = await db.get("tails", id);
          return isTail(tail) ? tail : memory.tail(id);
        },
        () => memory.tail(id),
      ),
    async clear(what) {
      await memory.clear(what);
      await run(
        (db) => (what === "all" ? clear(db) : leave(db)),
        async () => {},
      );
      if (what === "all") {
        owed.length = 0;
      }
    },
    close: () => void last.then(() => database.close()),
  };
}

function upgrade(db: Db, old: number, tx: IDBPTransaction<Schema, Store[], "versionchange">): void {
  if (old === 0) {
    for (const store of stores) {
      const s = db.createObjectStore(store);
      if (store === "tails") {
        (s as unknown as IDBObjectStore).createIndex("savedTime", "savedTime");
      }
    }
    return;
  }
  for (const store of told) {
    void tx.objectStore(store).clear();
  }
  void tx.objectStore("meta").delete("token");
}

/** Drops everything, and says so: a tab that hasn't heard of it must not take it for a database that was lost. */
async function clear(db: Db): Promise<void> {
  const tx = db.transaction(stores, "readwrite");
  await Promise.all([...stores.map((s) => tx.objectStore(s).clear()), tx.objectStore("meta").put("", "userId"), tx.done]);
}

/** Drops what the server told, and what it has. */
async function leave(db: Db): Promise<void> {
  await dropTold(db);
  const tx = db.transaction("outbox", "readwrite");
  for (let at = await tx.store.openCursor(); at; at = await at.continue()) {
    if (at.value.state === "stored") {
      await at.delete();
    }
  }
  await tx.done;
}

async function dropTold(db: Db): Promise<void> {
  const tx = db.transaction(["meta", ...told], "readwrite");
  const meta = tx.objectStore("meta");
  await Promise.all([...told.map((s) => tx.objectStore(s).clear()), meta.delete("account"), meta.delete("token"), tx.done]);
}

async function read(db: Db, userId: string): Promise<Kept> {
  const tx = db.transaction(stores, "readwrite");
  const meta = tx.objectStore("meta");
  if ((await meta.get("userId")) !== userId) {
    await Promise.all([...stores.map((s) => tx.objectStore(s).clear()), meta.put(userId, "userId"), tx.done]);
    return nothing;
  }
  const [account, token, conversations, users, drafts, draftIds, outbox, outboxIds] = await Promise.all([
    meta.get("account"),
    meta.get("token"),
    tx.objectStore("conversations").getAll(),
    tx.objectStore("users").getAll(),
    tx.objectStore("drafts").getAll(),
    tx.objectStore("drafts").getAllKeys(),
    tx.objectStore("outbox").getAll(),
    tx.objectStore("outbox").getAllKeys(),
    tx.done,
  ]);
  if (!conversations.every(isConversation) || !users.every(isUser)) {
    throw new Error("there is something else in the database");
  }
  return {
    ...(isAccount(account) && { account }),
    ...(token instanceof Uint8Array && { token }),
    conversations,
    users,
    ...written(
      draftIds.map((id, i) => [id, drafts[i]]),
      outboxIds.map((id, i) => [id, outbox[i]]),
    ),
  };
}

/** Of what the user wrote all that can be made out. */
function written(
  drafts: (readonly [string, unknown])[],
  outbox: (readonly [string, unknown])[],
): Pick<Kept, "drafts" | "outbox"> {
  return {
    drafts: drafts.filter((d): d is readonly [string, string] => typeof d[1] === "string"),
    outbox: outbox.flatMap(([id, value]) => toOutboxItem(id, value) ?? []),
  };
}

/** Where not everything can be read: drops what comes again from the server, and reads what the user wrote one by one. */
async function salvage(db: Db, userId: string): Promise<Kept> {
  if ((await db.get("meta", "userId")) !== userId) {
    throw new Error("it can't be told whose this is");
  }
  await dropTold(db);
  const each = async (store: "drafts" | "outbox") => {
    const all: (readonly [string, unknown])[] = [];
    for (const key of await db.getAllKeys(store)) {
      await db.get(store, key).then(
        (value) => all.push([key, value]),
        () => undefined, // left where it is: it may be read another time
      );
    }
    return all;
  };
  return { ...nothing, ...written(await each("drafts"), await each("outbox")) };
}

async function lead(db: Db, userId: string, by: string): Promise<void> {
  const tx = db.transaction("meta", "readwrite");
  if ((await tx.store.get("userId")) === userId) {
    await tx.store.put(by, "leader");
  }
  await tx.done;
}

/** Stores a change; with `gap` the token goes, so that the next start asks for everything. */
async function write(db: Db, userId: string, change: Change, gap: boolean): Promise<void> {
  const tx = db.transaction(stores, "readwrite");
  const meta = tx.objectStore("meta");
  // Where nobody's is there, the browser has lost the database since it was opened.
  const owner = (await meta.get("userId")) ?? userId;
  if (owner !== userId) {
    await tx.done;
    return; // signed out, or somebody else is signed in, in another tab
  }
  const done: Promise<unknown>[] = [meta.put(userId, "userId")];
  const put = <V>(store: "conversations" | "users" | "drafts" | "outbox", values: ReadonlyMap<string, V | undefined> = none) => {
    const s = tx.objectStore(store);
    for (const [key, value] of values) {
      done.push(value === undefined ? s.delete(key) : s.put(value as never, key));
    }
  };
  if ((await meta.get("leader")) === change.by) {
    if (change.reset) {
      done.push(...told.map((s) => tx.objectStore(s).clear()), meta.delete("token"));
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
