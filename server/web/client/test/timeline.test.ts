import { expect, test } from "vitest";
import type { Chat, Timeline } from "../src/api.js";
import { Browser } from "./browser.js";
import { contents, conversation, idOf, join, live, timeline } from "./people.js";
import { Server } from "./server.js";
import { eventually, until } from "./until.js";

const count = (n: number, from = 0) => Array.from({ length: n }, (_, i) => `${i + from}`);

async function say(chat: Chat, id: string, contents: readonly string[]): Promise<void> {
  await Promise.all(contents.map((c) => chat.send(id, c)));
  await until(chat.waiting, (n) => n === 0);
}

function seqOf(t: Timeline, content: string): number {
  return t.get().messages.find((m) => m.content === content)?.seq ?? 0;
}

test("a long timeline is read piece by piece, in both directions, and stays current wherever it stands", async () => {
  const server = await Server.forTest();
  const [alice, bob] = [await join(server, "alice"), await join(server, "bob")];
  const id = await alice.openDirect(idOf(bob));
  await say(alice, id, count(230));
  await conversation(bob, id, (c) => c.unread === 230);
  const t = await timeline(bob, id);
  expect(contents(t)).toEqual(count(50, 180));
  expect(t.get()).toMatchObject({ hasOlder: true, hasNewer: false, openedReadSeq: 0 });

  await Promise.all([t.loadOlder(), t.loadOlder()]);
  expect(contents(t)).toEqual(count(100, 130));
  const before = t.get().messages;
  await say(alice, id, ["new"]);
  await until(t, (s) => s.messages.length === 101);
  expect(t.get().messages[0]).toBe(before[0]);

  const original = seqOf(t, "140");
  await t.jumpTo(original);
  expect(contents(t)).toHaveLength(101); // it was there
  const early = original - 100;
  await t.jumpTo(early);
  expect(t.get()).toMatchObject({ hasOlder: true, hasNewer: true });
  expect(t.get().messages.some((m) => m.seq === early)).toBe(true);
  await say(alice, id, ["newer"]);
  await alice.edit(id, early, "edited");
  await until(t, (s) => s.messages.some((m) => m.content === "edited"));
  expect(contents(t)).not.toContain("newer");

  const far = t.message(original);
  await until(far, (m) => m?.content === "140");
  await alice.edit(id, original, "edited far away");
  await until(far, (m) => m?.content === "edited far away");

  while (t.get().hasNewer) await t.loadNewer();
  while (t.get().hasOlder) await t.loadOlder();
  const all = [...count(230), "new", "newer"].map((c) => (c === "140" ? "edited far away" : c === "40" ? "edited" : c));
  expect(contents(t)).toEqual(all);
  await say(alice, id, ["newest"]);
  await until(t, (s) => s.messages.length === 233);

  await t.jumpTo(early);
  const overtaken = t.jumpTo(early);
  await t.jumpToNewest();
  await overtaken;
  expect(contents(t).at(-1)).toBe("newest");
});

test("a timeline that was kept is shown at once, and what was missed is fetched", async () => {
  const server = await Server.forTest();
  const browser = new Browser(server);
  const bob = browser.open();
  await bob.signUp({ username: "bob", password: "correct horse" });
  await live(bob);
  const alice = await join(server, "alice");
  const id = await alice.openDirect(idOf(bob));
  await say(alice, id, count(20));
  const first = await timeline(bob, id);
  await until(first, (s) => s.messages.length === 20);
  bob.close();

  await say(alice, id, count(150, 20));
  await alice.edit(id, seqOf(first, "3"), "edited");
  const again = browser.open();
  await live(again);
  const t = await timeline(again, id);
  expect(contents(t).slice(0, 3)).toEqual(["0", "1", "2"]);
  await until(t, (s) => s.messages.length === 170 && s.messages[3]?.content === "edited");
  expect(contents(t)).toEqual(count(170).map((c) => (c === "3" ? "edited" : c)));
});

test("a load that fails is told, and made good when the server is back", async () => {
  const server = await Server.forTest();
  const [alice, bob] = [await join(server, "alice"), await join(server, "bob")];
  const id = await alice.openDirect(idOf(bob));
  await say(alice, id, count(60));
  const t = await timeline(alice, id);
  await server.kill();
  await t.loadOlder();
  expect(t.get()).toMatchObject({ loading: "none", error: { code: "network" } });
  expect(contents(t)).toEqual(count(50, 10));
  await server.restart();
  alice.reconnect();
  await live(alice);
  await t.loadOlder();
  expect(contents(t)).toEqual(count(60));
  expect(t.get().error).toBeUndefined();
  await eventually(() => !t.get().hasOlder);
});
