import { expect, test } from "vitest";
import { contents, conversation, idOf, join, timeline } from "./people.js";
import { Server } from "./server.js";
import { until } from "./until.js";

test("two talk, read, edit, react and delete, and both see the same", async () => {
  const server = await Server.forTest();
  const alice = await join(server, "alice");
  const bob = await join(server, "bob");

  const id = await alice.openDirect(idOf(bob));
  expect(alice.conversation(id).get()?.title).toBe("BOB");
  const hers = await timeline(alice, id);
  await alice.send(id, "hello");
  expect(contents(hers)).toEqual(["hello"]);
  await conversation(bob, id, (c) => c.unread === 1 && c.lastMessage?.content === "hello");
  const his = await timeline(bob, id);
  expect(contents(his)).toEqual(["hello"]);

  await until(hers, (s) => s.messages[0]?.delivery === "delivered");
  bob.markRead(id, his.get().messages[0]?.seq ?? 0);
  expect(bob.conversation(id).get()?.unread).toBe(0);
  await until(hers, (s) => s.messages[0]?.delivery === "read");

  await bob.send(id, "hi");
  await until(hers, (s) => s.messages.length === 2);
  await alice.edit(id, hers.get().messages[0]?.seq ?? 0, "hello, Bob");
  await until(his, (s) => s.messages[0]?.content === "hello, Bob" && s.messages[0].editTime !== undefined);
  await bob.react(id, his.get().messages[0]?.seq ?? 0, "🐸", true);
  await until(hers, (s) => s.messages[0]?.reactions[0]?.emoji === "🐸");
  await bob.delete(id, his.get().messages[1]?.seq ?? 0);
  await until(hers, (s) => s.messages[1]?.deleted === true);
  expect(hers.get().messages.map((m) => m.seq)).toEqual(his.get().messages.map((m) => m.seq));

  alice.setTyping(id, true);
  await until(bob.typing(id), (users) => users[0]?.username === "alice");
  await alice.send(id, "done");
  await until(bob.typing(id), (users) => users.length === 0);
  await until(bob.presence(idOf(alice)), (p) => p.state === "online");
});
