import { expect, test } from "vitest";
import type { Chat } from "../src/api.js";
import { conversation, idOf, join, timeline } from "./people.js";
import { Server } from "./server.js";
import { until } from "./until.js";

function roles(chat: Chat, id: string): Record<string, string> {
  return Object.fromEntries((chat.members(id).get() ?? []).map((m) => [m.user.username, m.role]));
}

test("a group is made, named, filled and emptied, and everybody sees it as it happens", async () => {
  const server = await Server.forTest();
  const [alice, bob, carol] = [await join(server, "alice"), await join(server, "bob"), await join(server, "carol")];
  const id = await alice.createGroup("Pond", [idOf(bob)]);
  await conversation(bob, id, (c) => c.title === "Pond" && c.role === "member" && c.memberCount === 2);
  await until(bob.members(id), (m) => m?.length === 2);

  await alice.rename(id, "Lake");
  await conversation(bob, id, (c) => c.title === "Lake");
  await alice.addMembers(id, [idOf(carol)], "reader");
  await until(bob.members(id), (m) => m?.length === 3);
  expect(roles(bob, id)).toEqual({ alice: "owner", bob: "member", carol: "reader" });
  await conversation(carol, id, (c) => c.role === "reader" && c.memberCount === 3);
  await conversation(bob, id, (c) => c.memberCount === 3 && c.receipts.length === 2);

  await alice.setRole(id, idOf(bob), "admin");
  await conversation(bob, id, (c) => c.role === "admin");
  await until(bob.members(id), () => roles(bob, id).bob === "admin");

  const his = await timeline(bob, id);
  await alice.send(id, "last words");
  await until(his, (s) => s.messages.length === 1);
  await alice.removeMember(id, idOf(bob));
  await until(bob.conversation(id), (c) => c === undefined);
  await until(his, (s) => s.error?.code === "not_found");
  expect(his.get().messages).toEqual([]);
  expect(bob.conversations.get()).toEqual([]);
  await until(alice.members(id), (m) => m?.length === 2);

  await alice.addMembers(id, [idOf(bob)]);
  await conversation(bob, id, (c) => c.title === "Lake");
  await until(his, (s) => s.messages.length === 1 && s.error === undefined);

  await carol.leave(id);
  await until(carol.conversation(id), (c) => c === undefined);
  await conversation(alice, id, (c) => c.memberCount === 2);
});

test("what can't be done is refused with a reason, and a message that is refused can be given up", async () => {
  const server = await Server.forTest();
  const [alice, bob] = [await join(server, "alice"), await join(server, "bob")];
  const id = await alice.createGroup("Pond", []);
  await alice.addMembers(id, [idOf(bob)], "reader");
  await conversation(bob, id, (c) => c.role === "reader");
  await expect(bob.rename(id, "Mine")).rejects.toMatchObject({ code: "permission_denied", reason: "ROLE_TOO_LOW" });
  await expect(alice.send(id, "")).rejects.toMatchObject({ code: "invalid_argument", field: "content" });
  await expect(alice.send(id, "x".repeat(16_385))).rejects.toMatchObject({ code: "invalid_argument", field: "content" });
  await expect(alice.signUp({ username: "bob", password: "correct horse" })).rejects.toMatchObject({ reason: "USERNAME_TAKEN" });

  const his = await timeline(bob, id);
  await bob.send(id, "may I?");
  const failed = (await until(his, (s) => s.messages[0]?.delivery === "failed")).messages[0];
  expect(failed?.error).toMatchObject({ code: "permission_denied", reason: "ROLE_TOO_LOW" });
  expect(bob.waiting.get()).toBe(0);
  await alice.setRole(id, idOf(bob), "member");
  await conversation(bob, id, (c) => c.role === "member");
  await bob.retry(id, failed?.key ?? "");
  await conversation(alice, id, (c) => c.lastMessage?.content === "may I?");
  await until(his, (s) => s.messages.length === 1 && s.messages[0]?.key === failed?.key && s.messages[0]?.seq !== 0);

  await alice.setRole(id, idOf(bob), "reader");
  await conversation(bob, id, (c) => c.role === "reader");
  await bob.send(id, "again?");
  const second = (await until(his, (s) => s.messages[1]?.delivery === "failed")).messages[1];
  await bob.discard(id, second?.key ?? "");
  await until(his, (s) => s.messages.length === 1);
});
