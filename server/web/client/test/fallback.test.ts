import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { PresenceState } from "@natterjack/proto/chat/v1/user_pb.js";
import { beforeAll, expect, test, vi } from "vitest";
import { TroubleProxy } from "./proxy.js";
import { Server } from "./server.js";
import { eventually, status, until } from "./until.js";
import { Browser, conversation, type Device, live, nodeNetwork, webSocketNetwork } from "./wire.js";

let server: Server;
beforeAll(async () => {
  server = await Server.start();
  return () => server.stop();
});

async function blocked(surroundings = new Browser(), times = {}): Promise<{ proxy: TroubleProxy; alice: Device }> {
  const proxy = await TroubleProxy.start(server.url);
  proxy.refuseUpgrades = true;
  return { proxy, alice: await live(webSocketNetwork(proxy.url), { link: { surroundings, times } }) };
}

/** Collects all the garbage there is, as Node does by itself sooner or later. */
const collectGarbage: () => void = (() => {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
})();

/** However long a test takes, no WebSocket is tried by itself. */
const never = { firstTry: 3_600_000 };

test("where no WebSocket can be opened, Subscribe takes its place after two attempts", async () => {
  const { proxy, alice } = await blocked(new Browser(), never);
  expect(alice.link.state.get()).toEqual({ status: "live", over: "subscribe" });
  expect(proxy.upgrades).toBe(2);
  expect(alice.events.map(({ event }) => event.case)).toEqual(["ready", "caughtUp"]);
});

test("all that is said goes by unary calls then, in order, and is acknowledged alike", async () => {
  const { alice } = await blocked();
  const bob = await live(nodeNetwork(server.url));
  const id = await conversation(alice, bob);
  const acks = await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      alice.link.say({
        case: "sendMessage",
        value: {
          $typeName: "natterjack.chat.v1.SendMessageRequest",
          conversationId: id,
          clientMessageId: randomUUID(),
          content: `${i}`,
          replyToSeq: 0n,
        },
      }),
    ),
  );
  const first = acks[0]?.seq ?? 0n;
  expect(acks.map(({ seq }) => seq)).toEqual(acks.map((_, i) => first + BigInt(i)));
  expect(acks.every(({ messageId, timestamp, duplicate }) => messageId && timestamp && !duplicate)).toBe(true);
  await alice.link.say({
    case: "typing",
    value: { $typeName: "natterjack.chat.v1.SetTypingRequest", conversationId: id, typing: true },
  });
  expect(await bob.heard("typing")).toMatchObject({ typing: true, userId: alice.session.userId.get() });

  const last = acks.at(-1)?.seq ?? 0n;
  const { seq } = await bob.link.say({
    case: "sendMessage",
    value: {
      $typeName: "natterjack.chat.v1.SendMessageRequest",
      conversationId: id,
      clientMessageId: randomUUID(),
      content: "so?",
      replyToSeq: last,
    },
  });
  await eventually(() => alice.events.some(({ event }) => event.case === "message" && event.value.seq === seq));
  const mark = { conversationId: id, seq };
  await expect(
    alice.link.say({ case: "markDelivered", value: { $typeName: "natterjack.chat.v1.MarkDeliveredRequest", ...mark } }),
  ).resolves.toMatchObject({ seq });
  await expect(
    alice.link.say({ case: "markRead", value: { $typeName: "natterjack.chat.v1.MarkReadRequest", ...mark } }),
  ).resolves.toMatchObject({ seq });
  await expect(
    alice.link.say({
      case: "markRead",
      value: { $typeName: "natterjack.chat.v1.MarkReadRequest", conversationId: "nonsense", seq: 1n },
    }),
  ).rejects.toMatchObject({ name: "ChatError", reason: "INVALID_ID" });
});

test("presence works over Subscribe too, by opening it anew", async () => {
  const { alice } = await blocked(new Browser(), { reopen: 50 });
  const states: string[] = [];
  alice.link.state.subscribe(() => states.push(alice.link.state.get().status));
  const bob = await live(nodeNetwork(server.url));
  await conversation(alice, bob);
  alice.link.watch([bob.session.userId.get() as string]);
  expect(await alice.heard("presence")).toMatchObject({ state: PresenceState.ONLINE });
  bob.link.watch([alice.session.userId.get() as string]);
  await bob.heard("presence");
  alice.link.setInUse(false);
  await eventually(() => bob.events.some(({ event }) => event.case === "presence" && event.value.state === PresenceState.AWAY));
  expect(states).toEqual([]); // nobody has to see it
});

test("a Subscribe that is cut is opened again, without asking for a WebSocket first", async () => {
  const { proxy, alice } = await blocked(new Browser(), never);
  const from = alice.events.length;
  proxy.cut();
  await alice.heard("caughtUp", from);
  await status(alice.link.state, "live");
  expect(proxy.upgrades).toBe(2);
  expect(alice.link.state.get()).toEqual({ status: "live", over: "subscribe" });
});

test("in another network the WebSocket is tried again at once", async () => {
  const surroundings = new Browser();
  const { proxy, alice } = await blocked(surroundings, never);
  surroundings.becomes({ online: false });
  surroundings.becomes({ online: true });
  await eventually(() => proxy.upgrades === 3);
  expect(alice.link.state.get()).toMatchObject({ over: "subscribe" }); // still blocked
  proxy.refuseUpgrades = false;
  surroundings.becomes({ online: false });
  surroundings.becomes({ online: true });
  await until(alice.link.state, (state) => state.status === "live" && state.over === "websocket");
});

test("a WebSocket that can be opened again is found by itself", async () => {
  const { proxy, alice } = await blocked(new Browser(), { firstTry: 50, tryAgain: 50 });
  await eventually(() => proxy.upgrades > 3);
  proxy.refuseUpgrades = false;
  await until(alice.link.state, (state) => state.status === "live" && state.over === "websocket");
});

test("a Subscribe ends when it is to end, also when garbage was collected meanwhile", async () => {
  const { alice } = await blocked(new Browser(), { ...never, reopen: 10 });
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await setTimeout(5);
  }
  const from = alice.events.length;
  alice.link.setInUse(false);
  await alice.heard("ready", from); // of the one that took its place
});

test("a server that was away doesn't leave a client on Subscribe", async () => {
  const own = await Server.forTest();
  const alice = await live(webSocketNetwork(own.url), { link: { times: { firstTry: 50 } } });
  await own.kill();
  // It comes back just when Subscribe's turn has come.
  await until(alice.link.state, (state) => state.status === "waiting" && state.attempt >= 3);
  await own.restart();
  alice.link.reconnect();
  await until(alice.link.state, (state) => state.status === "live" && state.over === "websocket");
});

test("after a time in which nothing worked, the WebSocket is tried again", async () => {
  const { proxy, alice } = await blocked();
  proxy.refuseUpgrades = false;
  proxy.refuseAll = true;
  proxy.cut();
  await until(alice.link.state, (state) => state.status === "waiting" && state.attempt >= 3);
  alice.link.reconnect(); // Subscribe, in vain
  await until(alice.link.state, (state) => state.status === "waiting" && state.attempt >= 4);
  proxy.refuseAll = false;
  alice.link.reconnect();
  await until(alice.link.state, (state) => state.status === "live" && state.over === "websocket");
});

test("a WebSocket that opens and carries nothing is as good as none", async () => {
  const proxy = await TroubleProxy.start(server.url);
  proxy.muteUpgrades = true;
  const alice = await live(webSocketNetwork(proxy.url), { link: { times: { handshake: 1_000 } } });
  expect(alice.link.state.get()).toEqual({ status: "live", over: "subscribe" });
});

test("a Subscribe over which nothing comes any more is noticed when the page hears of a change", async () => {
  const surroundings = new Browser();
  const { proxy, alice } = await blocked(surroundings, { probe: 50 });
  surroundings.becomes({ visible: true });
  await setTimeout(100);
  expect(alice.link.state.get().status).toBe("live"); // it can't be asked, but it was heard from a moment ago
  proxy.swallow = true;
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Date.now() + 30_000); // the device slept
  surroundings.becomes({ visible: true });
  await until(alice.link.state, (state) => state.status !== "live");
  vi.useRealTimers();
});

test("streams by the calls carry the session's token, and fail with ChatErrors", async () => {
  const { proxy, alice } = await blocked();
  const came: unknown[] = [];
  const reading = (async () => {
    for await (const { events } of alice.calls.chat.subscribe({ hello: { deviceId: "another" } })) {
      came.push(events[0]?.event.case);
      proxy.cut(); // more may be on its way already
    }
  })();
  await expect(reading).rejects.toMatchObject({ name: "ChatError", code: "network" });
  expect(came[0]).toBe("ready");
});
