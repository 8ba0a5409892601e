import { deleteDB, openDB } from "idb";
import { expect, test } from "vitest";
import type { Chat } from "../src/api.js";
import { Browser } from "./browser.js";
import { contents, conversation, idOf, join, live, open, timeline } from "./people.js";
import { TroubleProxy } from "./proxy.js";
import { Server } from "./server.js";
import { status, until } from "./until.js";

const password = "correct horse";

/** Alice, whose message to Bob waits in her browser, as nothing of hers reaches the server. */
async function waiting() {
  const server = await Server.forTest();
  const proxy = await TroubleProxy.start(server.url);
  const browser = new Browser(proxy);
  const chat = browser.open();
  await chat.signUp({ username: "alice", password });
  await live(chat);
  const bob = await join(server, "bob");
  const id = await chat.openDirect(idOf(bob));
  const his = await timeline(bob, id);
  await conversation(chat, id, () => true);
  proxy.refuseAll = true;
  proxy.cut();
  await until(chat.connection, (c) => c.status === "waiting");
  await chat.send(id, "still to be sent");
  chat.setDraft(id, "not yet");
  return { server, proxy, browser, chat, id, his };
}

/** Ends Alice's sessions but the one of the device that does it. */
async function revoke(server: Server): Promise<void> {
  const elsewhere = open(server);
  await elsewhere.signIn({ username: "alice", password });
  await elsewhere.revokeOtherSessions();
}

async function revoked(chat: Chat): Promise<void> {
  await until(chat.account, (a) => a.status === "signed-out" && a.reason === "revoked");
}

async function sent(chat: Chat): Promise<void> {
  await live(chat);
  await until(chat.waiting, (n) => n === 0);
}

test.each([
  ["in the same page", false],
  ["after a reload", true],
])("what waited when the server ended the session is sent at the same user's return, %s", async (_, reload) => {
  const { server, proxy, browser, chat, id, his } = await waiting();
  await revoke(server);
  proxy.refuseAll = false;
  chat.reconnect();
  await revoked(chat);
  expect([chat.waiting.get(), chat.conversations.get()]).toEqual([0, []]);
  if (reload) chat.close();

  const back = reload ? browser.open() : chat;
  await revoked(back);
  await back.signIn({ username: "alice", password });
  await sent(back);
  await until(his, (s) => s.messages.length === 1);
  expect(contents(his)).toEqual(["still to be sent"]);
  expect((await conversation(back, id, () => true)).draft).toBe("not yet");
});

test("what waited is dropped when the user signs out", async () => {
  const { proxy, chat, his } = await waiting();
  await chat.signOut();
  expect(chat.account.get()).toEqual({ status: "signed-out" });
  proxy.refuseAll = false;
  await chat.signIn({ username: "alice", password });
  await live(chat);
  expect([chat.waiting.get(), contents(his)]).toEqual([0, []]);
});

test("what waited is dropped when another user signs in", async () => {
  const { server, proxy, chat, his } = await waiting();
  await revoke(server);
  proxy.refuseAll = false;
  chat.reconnect();
  await revoked(chat);
  await chat.signUp({ username: "carol", password });
  await chat.signOut();
  await chat.signIn({ username: "alice", password });
  await live(chat);
  expect([chat.waiting.get(), contents(his)]).toEqual([0, []]);
});

test("a browser that has lost the session keeps what waited for the same user's return", async () => {
  const { proxy, browser, chat, his } = await waiting();
  chat.close();
  await deleteDB(`${browser.prefix}.session`);
  proxy.refuseAll = false;
  const back = browser.open();
  await status(back.account, "signed-out");
  await back.signIn({ username: "alice", password });
  await sent(back);
  await until(his, (s) => s.messages.length === 1);
});

test("garbage in what is kept holds up no start, and what waits is sent", async () => {
  const { proxy, browser, chat, id, his } = await waiting();
  chat.close();
  const db = await openDB(`${browser.prefix}.chat`);
  for (const store of ["conversations", "users", "tails"]) await db.put(store, { id: 7, messages: "?" }, id);
  await db.put("meta", new Uint8Array([1, 2, 3]), "token");
  db.close();
  const session = await openDB(`${browser.prefix}.session`);
  await session.put("values", { id: 7, attempt: "?" }, "device");
  session.close();
  proxy.refuseAll = false;
  const back = browser.open();
  await status(back.account, "signed-in");
  expect(back.keeps.get()).toBe(true);
  await sent(back);
  await until(his, (s) => s.messages.length === 1);
  const hers = await timeline(back, id);
  await until(hers, (s) => s.messages.length === 1);
});
