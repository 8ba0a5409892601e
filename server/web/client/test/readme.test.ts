import { readFileSync } from "node:fs";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, onTestFinished, test } from "vitest";
import { hello } from "../examples/hello.js";
import { echo } from "../examples/node.js";
import { nextEvents } from "../examples/raw.js";
import { useConversations } from "../examples/react.js";
import type { Chat } from "../src/api.js";
import { createWire } from "../src/wiring.js";
import { conversation, idOf, join, open, timeline } from "./people.js";
import { Server } from "./server.js";
import { until } from "./until.js";
import { nodeNetwork, webSocketNetwork } from "./wire.js";

const password = "correct horse";

test("the README shows the examples that are tested here", () => {
  const here = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
  const blocks = [...here("README.md").matchAll(/```ts\n\/\/ (\S+)\n\n?([\s\S]*?)```/g)];
  expect(blocks.map((b) => b[1])).toEqual(["examples/hello.ts", "examples/react.ts", "examples/node.ts", "examples/raw.ts"]);
  for (const [, name, code] of blocks) expect(code).toBe(here(name ?? ""));
});

test("hello says hello, and comes back when it was read", async () => {
  const server = await Server.forTest();
  await (await join(server, "alice")).close();
  const bob = await join(server, "bob");
  const alice = open(server);
  const done = hello(alice, "bob");
  const list = await until(bob.conversations, (all) => all[0]?.unread === 1);
  bob.markRead(list[0]?.id ?? "", list[0]?.lastSeq ?? 0);
  await done;
});

test("echo answers what it is told", async () => {
  const server = await Server.forTest();
  await join(server, "echo").then((chat) => chat.close());
  const stop = await echo(server.url);
  onTestFinished(stop);
  const alice = await join(server, "alice");
  const [bot] = await alice.searchUsers("echo");
  const id = await alice.openDirect(bot?.id ?? "");
  const t = await timeline(alice, id);
  await alice.send(id, "are you there?"); // what was said before the bot is live it may take for old
  await until(t, ({ messages: [first] }) => first?.delivery === "delivered" || first?.delivery === "read");
  await alice.send(id, "one");
  const { messages } = await until(t, (s) => s.messages.filter((m) => m.content === "one" && m.seq > 0).length === 2);
  const [said, answer] = messages.filter((m) => m.content === "one");
  expect([said?.mine, answer]).toMatchObject([true, { mine: false, replyTo: said?.seq }]);
});

function List({ chat }: { chat: Chat }) {
  const titles = useConversations(chat).map((c) => c.title);
  return createElement("p", null, titles.join());
}

test("a component shows the conversations", async () => {
  const server = await Server.forTest();
  const [alice, bob] = [await join(server, "alice"), await join(server, "bob")];
  const id = await alice.openDirect(idOf(bob));
  await conversation(alice, id, (c) => c.title === "BOB");
  expect(renderToStaticMarkup(createElement(List, { chat: alice }))).toBe("<p>BOB</p>");
});

test("the generated client streams over a WebSocket", async () => {
  const server = await Server.forTest();
  const wire = createWire({ network: nodeNetwork(server.url), inMemory: true });
  onTestFinished(() => wire.close());
  await wire.session.signUp({ username: "alice", password });
  const token = await wire.session.accessToken();
  expect((await nextEvents(webSocketNetwork(server.url).streams, token))[0]).toBe("ready");
});
