import "fake-indexeddb/auto";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import type { OutboxItem, StoredConversation, StoredMessage, Tail } from "../src/model/records.js";
import { browserStorage, memoryStorage, type Storage } from "../src/storage.js";

afterEach(() => {
  vi.unstubAllGlobals();
});

let names = 0;

function open(name = `storage-${++names}`): { storage: Storage; name: string } {
  const storage = browserStorage(name);
  onTestFinished(() => storage.close());
  return { storage, name };
}

const record = (id: string) => ({ id }) as StoredConversation;
const item = (id: string) => ({ id, conversationId: "c", content: "x", state: "waiting" }) as OutboxItem;

function tail(conversationId: string, cursor: number, content = ""): Tail {
  return { conversationId, cursor, hasOlder: false, messages: [{ seq: 1, content } as StoredMessage] };
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
  await storage.clear();
  expect(await storage.tail("c204")).toBeUndefined();
});

test("of two tabs' tails the one that knows more stays", async () => {
  const { storage } = open();
  await storage.open("alice");
  await storage.write("alice", { tails: [tail("c", 5, "newer")] });
  await storage.write("alice", { tails: [tail("c", 4, "older")] });
  expect((await storage.tail("c"))?.messages[0]?.content).toBe("newer");
});

test("without a working IndexedDB it keeps in memory what it can", async () => {
  const broken = () => {
    throw new DOMException("no", "InvalidStateError");
  };
  vi.stubGlobal("indexedDB", { open: broken });
  const { storage } = open();
  expect(await storage.open("alice")).toEqual({ conversations: [], users: [], drafts: [], outbox: [] });
  await storage.write("alice", { tails: [tail("c", 5)] });
  expect(await storage.tail("c")).toMatchObject({ cursor: 5 });
});

test("a connection that the browser closes is opened anew", async () => {
  const { storage, name } = open();
  await storage.open("alice");
  // Another version of the page wants the database: this one lets go.
  const other = indexedDB.open(name, 2);
  await new Promise((resolve) => {
    other.onsuccess = resolve;
  });
  other.result.close();
  await storage.write("alice", { drafts: new Map([["c", "draft"]]) });
  expect((await storage.open("alice")).drafts).toEqual([]); // of the newer version, which this one can't read
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
