import { expect, test } from "vitest";
import { Browser } from "./browser.js";
import { contents, conversation, idOf, join, live, open, timeline } from "./people.js";
import { TroubleProxy } from "./proxy.js";
import { Server } from "./server.js";
import { eventually, until } from "./until.js";

const password = "correct horse";

async function inBrowser(server: { readonly url: string }, username: string) {
  const browser = new Browser(server);
  const chat = browser.open();
  await chat.signUp({ username, password });
  await live(chat);
  return { browser, chat };
}

test("what is written without a server waits, survives a reload, and is sent once and in order", async () => {
  const server = await Server.forTest();
  const { browser, chat: alice } = await inBrowser(server, "alice");
  const bob = await join(server, "bob");
  const id = await alice.openDirect(idOf(bob));
  await alice.send(id, "0");
  const his = await timeline(bob, id);
  await until(his, (s) => s.messages.length === 1);
  await conversation(alice, id, (c) => c.lastMessage !== undefined && c.lastMessage.seq > 0);

  await server.kill();
  await until(alice.connection, (c) => c.status === "waiting" || c.status === "connecting");
  for (const n of ["1", "2", "3"]) {
    await alice.send(id, n);
  }
  const hers = await timeline(alice, id);
  expect(hers.get().messages.map((m) => m.delivery)).toEqual(["queued", "queued", "queued"]);
  expect(alice.waiting.get()).toBe(3);
  alice.setDraft(id, "not yet");
  alice.close();

  const again = browser.open();
  await until(again.account, (a) => a.status === "signed-in");
  expect(again.waiting.get()).toBe(3);
  const kept = await conversation(again, id, (c) => c.draft === "not yet");
  expect(kept.lastMessage?.content).toBe("3");
  const reread = await timeline(again, id);
  expect(contents(reread).slice(-3)).toEqual(["1", "2", "3"]);

  await server.restart();
  again.reconnect();
  await until(his, (s) => s.messages.length === 4);
  expect(contents(his)).toEqual(["0", "1", "2", "3"]);
  await until(reread, (s) => s.messages.length === 4 && s.messages.every((m) => m.seq > 0));
  expect(new Set(reread.get().messages.map((m) => m.key)).size).toBe(4);
  expect(again.waiting.get()).toBe(0);
});

test("what is written when the network has just gone is queued, though the connection has not noticed", async () => {
  const server = await Server.forTest();
  const proxy = await TroubleProxy.start(server.url);
  const { browser, chat: alice } = await inBrowser(proxy, "alice");
  const bob = await join(server, "bob");
  const id = await alice.openDirect(idOf(bob));
  const hers = await timeline(alice, id);
  proxy.forget();
  browser.setOnline(false);
  await alice.send(id, "1");
  expect(hers.get().messages.map((m) => m.delivery)).toEqual(["queued"]);
  browser.setOnline(true);
  await until(hers, (s) => s.messages[0]?.delivery === "sent" || s.messages[0]?.delivery === "delivered");
});

test("what was loaded is readable without a server", async () => {
  const server = await Server.forTest();
  const { browser, chat: alice } = await inBrowser(server, "alice");
  const bob = await join(server, "bob");
  const id = await alice.openDirect(idOf(bob));
  const hers = await timeline(alice, id);
  await bob.send(id, "read me later");
  await until(hers, (s) => s.messages.length === 1);
  await server.kill();
  alice.close();

  const again = browser.open();
  const c = await conversation(again, id, () => true);
  expect([c.title, c.lastMessage?.content, c.unread]).toEqual(["BOB", "read me later", 1]);
  expect(contents(await timeline(again, id))).toEqual(["read me later"]);
  await until(again.account, (a) => a.status === "signed-in" && a.account.user.username === "alice");
});

test("a server that is killed while messages are on their way loses none and doubles none", async () => {
  const server = await Server.forTest();
  const { chat: alice } = await inBrowser(server, "alice");
  const bob = await join(server, "bob");
  const id = await alice.openDirect(idOf(bob));
  const his = await timeline(bob, id);

  const all = Array.from({ length: 60 }, (_, n) => `${n}`);
  const sent = all.map((n) => alice.send(id, n));
  await until(his, (s) => s.messages.length > 5);
  await server.kill();
  await Promise.all(sent);
  await server.restart();
  alice.reconnect();
  bob.reconnect();
  await until(his, (s) => s.messages.length >= all.length && s.loading === "none");
  await until(alice.waiting, (n) => n === 0);
  const fresh = open(server);
  await fresh.signIn({ username: "bob", password });
  const truth = await timeline(fresh, id);
  await until(truth, (s) => s.messages.length >= 50);
  await truth.loadOlder();
  expect(contents(truth)).toEqual(all);
  await eventually(() => contents(his).length === all.length);
  expect(contents(his)).toEqual(all);
});

test("a store that lost its end gets the messages of the last day again", async () => {
  const server = await Server.forTest();
  const { chat: alice } = await inBrowser(server, "alice");
  const bob = await join(server, "bob");
  const id = await alice.openDirect(idOf(bob));
  const hers = await timeline(alice, id);
  await alice.send(id, "kept");
  await until(hers, (s) => s.messages[0]?.seq !== undefined && s.messages[0].seq > 0);
  await server.drain();
  await server.backUp();
  await server.restart();
  alice.reconnect();
  await live(alice);
  await alice.send(id, "lost");
  await until(hers, (s) => s.messages[1]?.seq !== undefined && s.messages[1].seq > 0);

  await server.kill();
  await server.restore();
  server.admin("new-epoch");
  await server.restart();
  alice.reconnect();
  bob.reconnect();
  const his = await timeline(bob, id);
  await until(his, (s) => s.messages.length === 2);
  expect(contents(his)).toEqual(["kept", "lost"]);
  await until(hers, (s) => s.messages.length === 2 && s.messages.every((m) => m.seq > 0));
  expect(contents(hers)).toEqual(["kept", "lost"]);
});
