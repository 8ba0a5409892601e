import { createRouterTransport, type Transport } from "@connectrpc/connect";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import { GoodbyeReason } from "@natterjack/proto/chat/v1/stream_pb.js";
import { expect, test, vi } from "vitest";
import type { Message } from "../src/api.js";
import { nodeNetwork } from "../src/node.js";
import { Browser } from "./browser.js";
import { contents, conversation, idOf, join, live, open, timeline } from "./people.js";
import { Server } from "./server.js";
import { until } from "./until.js";

const password = "correct horse";

async function twoTabs(server: Server) {
  const browser = new Browser(server);
  const first = browser.open();
  await first.signUp({ username: "alice", password, displayName: "Alice" });
  await live(first);
  const bob = await join(server, "bob");
  const id = await first.openDirect(idOf(bob));
  const second = browser.open();
  await live(second);
  return { browser, first, second, bob, id };
}

test("two tabs have one connection, and show the same", async () => {
  const server = await Server.forTest();
  const { browser, first, second, bob, id } = await twoTabs(server);
  const a = await timeline(first, id);
  const b = await timeline(second, id);

  await bob.send(id, "hello");
  await until(a, (s) => s.messages.length === 1);
  await until(b, (s) => s.messages.length === 1);
  await second.send(id, "from the second");
  await until(a, (s) => s.messages[1]?.seq !== undefined && s.messages[1].seq > 0);
  await until(b, (s) => s.messages[1]?.seq !== undefined && s.messages[1].seq > 0);
  expect(a.get().messages.map((m) => m.key)).toEqual(b.get().messages.map((m) => m.key));

  second.markRead(id, a.get().messages[0]?.seq ?? 0);
  await conversation(first, id, (c) => c.unread === 0);
  second.setDraft(id, "a thought");
  await conversation(first, id, (c) => c.draft === "a thought");
  second.setTyping(id, true);
  await until(bob.typing(id), (users) => users.length === 1);
  await until(second.presence(idOf(bob)), (p) => p.state === "online");
  await until(first.presence(idOf(bob)), (p) => p.state === "online");
  expect(browser.streams).toBe(1);
});

test("the next tab takes over when the first one closes, and nothing is missed", async () => {
  const server = await Server.forTest();
  const { browser, first, second, bob, id } = await twoTabs(server);
  const b = await timeline(second, id);
  const arrived: string[] = [];
  second.onMessage((m: Message) => arrived.push(m.content));

  await bob.send(id, "one");
  await until(b, (s) => s.messages.length === 1);
  first.close();
  await bob.send(id, "two");
  await second.send(id, "three");
  await until(b, (s) => s.messages.length === 3 && s.messages.every((m) => m.seq > 0));
  await live(second);
  const third = browser.open();
  await live(third);
  const c = await timeline(third, id);
  await until(c, (s) => s.messages.length === 3);
  expect(contents(c).sort()).toEqual(["one", "three", "two"]);
  await bob.send(id, "four");
  await until(b, (s) => s.messages.length === 4);
  await until(c, (s) => s.messages.length === 4);
  expect(arrived).toContain("four");
  expect(arrived.filter((m) => m === "four")).toHaveLength(1);
});

test("what a tab kept and could not tell any more is sent when it has gone", async () => {
  const server = await Server.forTest();
  const { browser, first, second, bob, id } = await twoTabs(server);
  const b = await timeline(bob, id);
  // As if it had been killed between the two.
  vi.spyOn(BroadcastChannel.prototype, "postMessage").mockImplementation(() => {});
  await second.send(id, "last words");
  vi.restoreAllMocks();
  second.close();
  await until(b, (s) => s.messages.at(-1)?.content === "last words");
  expect(contents(await timeline(first, id))).toEqual(["last words"]);
  expect(browser.streams).toBe(1);
});

test("a connection that the server has ended for good can be asked for again, from any tab", async () => {
  const server = await Server.forTest();
  const browser = new Browser(server);
  const real = nodeNetwork(server.url);
  const superseding = createRouterTransport(({ service }) => {
    service(ChatService, {
      async *stream() {
        yield { events: [{ event: { case: "goodbye", value: { reason: GoodbyeReason.SUPERSEDED } } }] };
      },
    });
  });
  let streams = superseding;
  const network = {
    ...real,
    streams: { ...real.streams, stream: ((...call) => streams.stream(...call)) as Transport["stream"] },
  };
  const first = browser.open({ network });
  await first.signUp({ username: "carol", password });
  await until(first.connection, (c) => c.status === "stopped");
  const second = browser.open({ network });
  await until(second.account, (a) => a.status === "signed-in");
  await until(second.connection, (c) => c.status === "stopped");
  streams = real.streams;
  second.reconnect();
  await Promise.all([live(first), live(second)]);
});

test("signing out in one tab signs out all, and leaves nothing behind", async () => {
  const server = await Server.forTest();
  const { browser, first, second, bob, id } = await twoTabs(server);
  await bob.send(id, "secret");
  await conversation(second, id, (c) => c.unread === 1);
  await second.signOut();
  expect(second.account.get()).toEqual({ status: "signed-out" });
  await until(first.account, (a) => a.status === "signed-out");
  expect(first.conversations.get()).toEqual([]);

  const next = browser.open();
  await until(next.account, (a) => a.status === "signed-out");
  await next.signUp({ username: "carol", password });
  await live(next);
  expect(next.conversations.get()).toEqual([]);
  await until(first.account, (a) => a.status === "signed-in" && a.account.user.username === "carol");
  await live(first);
});

test("a session that is revoked elsewhere ends here with its reason", async () => {
  const server = await Server.forTest();
  const { first, second } = await twoTabs(server);
  const elsewhere = open(server);
  await elsewhere.signIn({ username: "alice", password });
  await elsewhere.revokeOtherSessions();
  await until(first.account, (a) => a.status === "signed-out" && a.reason === "revoked");
  await until(second.account, (a) => a.status === "signed-out" && a.reason === "revoked");
  expect(elsewhere.account.get().status).toBe("signed-in");
});
