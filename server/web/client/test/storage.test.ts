import "fake-indexeddb/auto";
import { create } from "@bufbuild/protobuf";
import { ConversationSummarySchema } from "@natterjack/proto/chat/v1/conversation_pb.js";
import { MessageSchema } from "@natterjack/proto/chat/v1/message_pb.js";
import { deleteDB, openDB, unwrap } from "idb";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { type OutboxItem, type StoredConversation, type Tail, toConversation, toMessage } from "../src/model/records.js";
import { browserStorage, memoryStorage, type Storage } from "../src/storage.js";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

let names = 0;

function open(name = `storage-${++names}`): { storage: Storage; name: string } {
  const storage = browserStorage(name);
  onTestFinished(() => storage.close());
  return { storage, name };
}

const record = (id: string): StoredConversation => toConversation(create(ConversationSummarySchema, { conversation: { id } }));

function item(id: string, state: OutboxItem["state"] = "waiting"): OutboxItem {
  return { id, conversationId: "c", content: `text of ${id}`, replyTo: 0, created: 1, order: 1, state };
}

function tail(conversationId: string, cursor: number, content = ""): Tail {
  return { conversationId, cursor, hasOlder: false, messages: [toMessage(create(MessageSchema, { seq: 1n, content }))] };
}

test("what was stored is there for the next one, for the same user only", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  await storage.lead("alice", "tab");
  const token = new Uint8Array([1, 2]);
  await storage.write("alice", {
    by: "tab",
    token,
    conversations: new Map([["c", record("c")]]),
    users: new Map([["u", { id: "u", username: "u", displayName: "U", avatarUrl: "" }]]),
    tails: [tail("c", 3)],
    drafts: new Map([["c", "draft"]]),
    outbox: new Map([["m", item("m")]]),
  });
  const { storage: next } = open(name);
  const kept = await next.open("alice");
  expect(kept).toMatchObject({ token, conversations: [{ id: "c" }], drafts: [["c", "draft"]], outbox: [{ id: "m" }] });
  expect(await next.tail("c")).toMatchObject({ cursor: 3 });

  expect(await next.open("bob")).toEqual({ conversations: [], users: [], drafts: [], outbox: [] });
  expect(await next.tail("c")).toBeUndefined();
  // Another tab that has not heard of it yet must not put anything of Alice's in front of Bob.
  await storage.write("alice", { by: "tab", token, outbox: new Map([["m", item("m")]]) });
  expect((await next.open("bob")).outbox).toEqual([]);
});

test("only the tab that leads stores what the server tells; all store what their user writes", async () => {
  const { storage } = open();
  await storage.open("alice");
  await storage.lead("alice", "old");
  await storage.lead("alice", "new");
  const change = { conversations: new Map([["c", record("c")]]), drafts: new Map([["c", "draft"]]), token: new Uint8Array([1]) };
  await storage.write("alice", { by: "old", ...change });
  expect(await storage.open("alice")).toEqual({ conversations: [], users: [], drafts: [["c", "draft"]], outbox: [] });
  await storage.write("alice", { by: "new", ...change });
  expect((await storage.open("alice")).conversations).toHaveLength(1);
});

test("a reset drops what came from the server, and keeps what the user wrote", async () => {
  const { storage } = open();
  await storage.open("alice");
  await storage.lead("alice", "tab");
  await storage.write("alice", {
    by: "tab",
    token: new Uint8Array([1]),
    conversations: new Map([["c", record("c")]]),
    tails: [tail("c", 3)],
    drafts: new Map([["c", "draft"]]),
    outbox: new Map([["m", item("m")]]),
  });
  await storage.write("alice", { by: "tab", reset: true, conversations: new Map([["d", record("d")]]) });
  const kept = await storage.open("alice");
  expect(kept).toMatchObject({ conversations: [{ id: "d" }], drafts: [["c", "draft"]], outbox: [{ id: "m" }] });
  expect(kept.token).toBeUndefined();
  expect(await storage.tail("c")).toBeUndefined();
});

test.each([
  ["in a browser", () => open().storage],
  ["in memory", memoryStorage],
])("tails: the newest 200 conversations (%s)", async (_, make) => {
  const storage = make();
  await storage.open("alice");
  for (let n = 0; n < 205; n++) await storage.write("alice", { tails: [tail(`c${n}`, 1)] });
  expect(await storage.tail("c0")).toBeUndefined();
  expect(await storage.tail("c204")).toBeDefined();
  await storage.clear("all");
  expect(await storage.tail("c204")).toBeUndefined();
});

test("of two tabs' tails the one that knows more stays", async () => {
  const { storage } = open();
  await storage.open("alice");
  await storage.write("alice", { tails: [tail("c", 5, "newer")] });
  await storage.write("alice", { tails: [tail("c", 4, "older")] });
  expect((await storage.tail("c"))?.messages[0]?.content).toBe("newer");
});

/** A list of what another page, or a fault, has put into the database. */
async function put(name: string, records: Record<string, Record<string, unknown>>): Promise<void> {
  const db = await openDB(name);
  for (const [store, values] of Object.entries(records)) {
    for (const [key, value] of Object.entries(values)) await db.put(store, value, key);
  }
  db.close();
}

/** What is there, by a page that comes later. */
async function later(name: string, userId = "alice") {
  const { storage } = open(name);
  return storage.open(userId);
}

const ids = (items: readonly { readonly id: string }[]) => items.map(({ id }) => id);

/** A request to open a database that ends as the test says; until then it is one that is never answered. */
function openRequest() {
  const listeners = new Map<string, () => void>();
  const request = Object.assign(new IDBOpenDBRequest(), {
    addEventListener: (type: string, heard: () => void) => listeners.set(type, heard),
  });
  return {
    request,
    end(type: "success" | "error", how: { readonly result?: IDBDatabase; readonly error?: DOMException }) {
      for (const [name, value] of Object.entries(how)) Object.defineProperty(request, name, { value });
      listeners.get(type)?.();
    },
  };
}

function refusing(): IDBOpenDBRequest {
  const { request, end } = openRequest();
  setImmediate(() => end("error", { error: new DOMException("no", "UnknownError") }));
  return request;
}

function forbidding(): never {
  throw new DOMException("no", "SecurityError");
}

test.each([
  ["fails", refusing],
  ["is forbidden", forbidding],
])("a browser whose IndexedDB %s has a storage that ends with the page", async (_, opening) => {
  vi.stubGlobal("indexedDB", { open: opening });
  const { storage } = open();
  expect(await storage.open("alice")).toEqual({ conversations: [], users: [], drafts: [], outbox: [] });
  expect(storage.works.get()).toBe(false);
  await storage.write("alice", { tails: [tail("c", 5)], outbox: new Map([["m", item("m")]]) });
  expect(await storage.tail("c")).toMatchObject({ cursor: 5 });
  expect(ids((await storage.open("alice")).outbox)).toEqual(["m"]);
  expect((await storage.open("bob")).outbox).toEqual([]);
});

test("a database that doesn't answer is waited for once, and what it has is there for the next page", async () => {
  const { storage: before, name } = open();
  await before.open("alice");
  await before.write("alice", { outbox: new Map([["old", item("old")]]) });

  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { request, end } = openRequest();
  const opening = vi.spyOn(indexedDB, "open").mockReturnValue(request);
  const { storage } = open(name);
  void storage.write("alice", { drafts: new Map([["c", "first"]]) });
  const kept = storage.open("alice");
  await vi.advanceTimersByTimeAsync(10_000);
  expect((await kept).outbox).toEqual([]);
  expect(storage.works.get()).toBe(false);
  const change = { drafts: new Map([["c", "second"]]), outbox: new Map([["new", item("new")]]) };
  await storage.write("alice", change); // at once
  expect(opening).toHaveBeenCalledTimes(1);

  opening.mockRestore();
  const db = await openDB(name);
  end("success", { result: unwrap(db) });
  while (!storage.works.get()) await storage.write("alice", {});
  const there = await later(name);
  expect([ids(there.outbox), there.drafts]).toEqual([["new", "old"], [["c", "second"]]]);
});

test("what the user wrote and could not be stored goes with the next change that can", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  await storage.write("alice", { outbox: new Map([["done", item("done")]]) });
  const put = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  await storage.write("alice", { outbox: new Map([["m", item("m")]]), drafts: new Map([["c", "draft"]]) });
  await storage.write("alice", {
    outbox: new Map([
      ["m", item("m", "stored")],
      ["done", undefined],
    ]),
  });
  expect(storage.works.get()).toBe(false);
  put.mockRestore();
  await storage.write("alice", { outbox: new Map([["n", item("n")]]) });
  expect(storage.works.get()).toBe(true);
  expect(await later(name)).toMatchObject({ drafts: [["c", "draft"]], outbox: [{ id: "m", state: "stored" }, { id: "n" }] });
});

test("what could not be stored of one user is not put before the next one", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  const put = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  await storage.write("alice", { outbox: new Map([["hers", item("hers")]]) });
  put.mockRestore();
  await storage.open("bob");
  await storage.write("bob", { outbox: new Map([["his", item("his")]]) });
  expect(ids((await later(name, "bob")).outbox)).toEqual(["his"]);
});

test.each<[string, Record<string, Record<string, unknown>>]>([
  ["a conversation without its marks", { conversations: { c: { ...record("c"), own: undefined } } }],
  ["a conversation that is none", { conversations: { c: 7 } }],
  ["a number that is none", { conversations: { c: { ...record("c"), lastSeq: Number.NaN } } }],
  ["a last message without its reactions", { conversations: { c: { ...record("c"), lastMessage: { seq: 1 } } } }],
  ["a user without a name", { users: { u: { id: "u" } } }],
  ["null", { users: { u: null } }],
])(
  "garbage from the server's side, %s, is dropped with all that comes again, and what the user wrote is not",
  async (_, garbage) => {
    const { storage, name } = open();
    await storage.open("alice");
    await storage.lead("alice", "tab");
    const change = {
      by: "tab",
      token: new Uint8Array([1]),
      conversations: new Map([["good", record("good")]]),
      tails: [tail("good", 3)],
      drafts: new Map([["c", "draft"]]),
      outbox: new Map([["m", item("m")]]),
    };
    await storage.write("alice", change);
    await put(name, garbage);
    const kept = await later(name);
    expect(kept).toEqual({ conversations: [], users: [], drafts: [["c", "draft"]], outbox: [item("m")] });
    expect(await storage.tail("good")).toBeUndefined();
    await storage.write("alice", change); // and it is stored anew
    expect(ids((await later(name)).conversations)).toEqual(["good"]);
  },
);

test("garbage in a place of its own costs nothing else", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  await storage.lead("alice", "tab");
  await storage.write("alice", { by: "tab", token: new Uint8Array([1]), conversations: new Map([["c", record("c")]]) });
  await put(name, {
    tails: { c: { ...tail("c", 1), messages: [{}] }, d: "?" },
    drafts: { c: { text: "?" }, d: "draft" },
    meta: { account: { user: {} } },
    outbox: {
      m: item("m"),
      newer: { ...item("newer"), state: "of tomorrow" },
      torn: { conversationId: "c", content: "what was written" },
      lost: { content: "where to?" },
    },
  });
  const kept = await later(name);
  expect(ids(kept.conversations)).toEqual(["c"]);
  expect(kept.token).toEqual(new Uint8Array([1]));
  expect(kept.account).toBeUndefined();
  expect(kept.drafts).toEqual([["d", "draft"]]);
  expect(kept.outbox).toMatchObject([
    { id: "m" },
    { id: "newer", state: "waiting" },
    { id: "torn", conversationId: "c", content: "what was written", state: "waiting" },
  ]);
  expect(await storage.tail("c")).toBeUndefined();
  expect(await storage.tail("d")).toBeUndefined();
});

test("of records that can't be read, those are lost and no others", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  await storage.write("alice", {
    outbox: new Map(["a", "b", "c"].map((id) => [id, item(id)])),
    drafts: new Map([["c", "draft"]]),
  });
  const fault = () => {
    throw new DOMException("Failed to read large IndexedDB value", "UnknownError");
  };
  const getAll = vi.spyOn(IDBObjectStore.prototype, "getAll").mockImplementation(fault);
  const real = IDBObjectStore.prototype.get;
  const get = vi.spyOn(IDBObjectStore.prototype, "get").mockImplementation(function (this: IDBObjectStore, key) {
    return key === "b" ? fault() : real.call(this, key);
  });
  const kept = await later(name);
  expect([ids(kept.outbox), kept.drafts]).toEqual([["a", "c"], [["c", "draft"]]]);
  getAll.mockRestore();
  get.mockRestore();
  expect(ids((await later(name)).outbox)).toEqual(["a", "b", "c"]); // it was left where it is
});

test("a database of that name that is not the client's is made anew", async () => {
  const name = `storage-${++names}`;
  (await openDB(name, 1, { upgrade: (db) => void db.createObjectStore("else") })).close();
  const { storage } = open(name);
  await storage.open("alice");
  await storage.write("alice", { outbox: new Map([["m", item("m")]]) });
  expect(storage.works.get()).toBe(true);
  expect(ids((await later(name)).outbox)).toEqual(["m"]);
});

test.each([
  ["in a browser", () => open().storage],
  ["in memory", memoryStorage],
])("what the user wrote and the server doesn't have waits for the same user, and for no other (%s)", async (_, make) => {
  const storage = make();
  await storage.open("alice");
  await storage.lead("alice", "tab");
  await storage.write("alice", {
    by: "tab",
    token: new Uint8Array([1]),
    account: { user: { id: "alice", username: "alice", displayName: "A", avatarUrl: "" }, createTime: 1, presenceHidden: false },
    conversations: new Map([["c", record("c")]]),
    tails: [tail("c", 3)],
    drafts: new Map([["c", "draft"]]),
    outbox: new Map([
      ["m", item("m")],
      ["f", item("f", "failed")],
      ["s", item("s", "stored")],
    ]),
  });
  await storage.clear("told");
  expect(await storage.tail("c")).toBeUndefined();
  const kept = await storage.open("alice");
  expect({ ...kept, outbox: ids(kept.outbox).sort() }).toEqual({
    conversations: [],
    users: [],
    drafts: [["c", "draft"]],
    outbox: ["f", "m"],
  });
  expect((await storage.open("bob")).outbox).toEqual([]);
  expect((await storage.open("alice")).outbox).toEqual([]);
});

test("after a sign-out nothing is put by a tab that hasn't heard of it", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  await open(name).storage.clear("all");
  await storage.write("alice", { outbox: new Map([["m", item("m")]]) });
  expect((await later(name)).outbox).toEqual([]);
});

test("a database that the browser has closed and lost is made anew, and keeps what comes", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  await deleteDB(name); // asks whoever has it open to let go
  await storage.write("alice", { outbox: new Map([["n", item("n")]]) });
  expect(ids((await later(name)).outbox)).toEqual(["n"]);
});

test("a newer version of the page gets the database, and what is written here lasts as long as this page", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  (await openDB(name, 2)).close();
  await storage.write("alice", { drafts: new Map([["c", "draft"]]) });
  expect(storage.works.get()).toBe(false);
  expect((await storage.open("alice")).drafts).toEqual([["c", "draft"]]);
});

test("after something could not be stored, no token says that it was", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  await storage.lead("alice", "tab");
  await storage.write("alice", { by: "tab", token: new Uint8Array([1]) });
  const put = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  await storage.write("alice", { by: "tab", conversations: new Map([["c", record("c")]]), token: new Uint8Array([2]) });
  put.mockRestore();
  await storage.write("alice", { by: "tab", conversations: new Map([["d", record("d")]]), token: new Uint8Array([3]) });
  const { storage: next } = open(name);
  const kept = await next.open("alice");
  expect(kept.conversations).toEqual([record("d")]);
  expect(kept.token).toBeUndefined();
  await storage.write("alice", { by: "tab", reset: true, token: new Uint8Array([4]) }); // from here on all is told anew
  expect((await next.open("alice")).token).toEqual(new Uint8Array([4]));
});
