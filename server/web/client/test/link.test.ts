import "fake-indexeddb/auto";
import { randomUUID } from "node:crypto";
import { ResumeKind } from "@natterjack/proto/chat/v1/stream_pb.js";
import { PresenceState } from "@natterjack/proto/chat/v1/user_pb.js";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { browserKeep } from "../src/keep.js";
import type { Say } from "../src/wire.js";
import { TroubleProxy } from "./proxy.js";
import { Server } from "./server.js";
import { eventually, status, until } from "./until.js";
import { Browser, conversation, live, networks, newUser, open } from "./wire.js";

let shared: Server;
beforeAll(async () => {
  shared = await Server.start();
  return () => shared.stop();
});
afterEach(() => void vi.useRealTimers());

const message = (conversationId: string, content: string): Say => ({
  case: "sendMessage",
  value: {
    $typeName: "natterjack.chat.v1.SendMessageRequest",
    conversationId,
    clientMessageId: randomUUID(),
    content,
    replyToSeq: 0n,
  },
});

describe.each(networks)("over %s", (over, network) => {
  test("a link gets live, and tells all that comes in its order", async () => {
    const alice = open(network(shared.url));
    const states: string[] = [];
    alice.link.state.subscribe(() => states.push(alice.link.state.get().status));
    await alice.session.signUp(newUser());
    alice.link.start();
    expect(await status(alice.link.state, "live")).toEqual({ status: "live", over });
    expect(alice.events.map(({ event }) => event.case)).toEqual(["ready", "caughtUp"]);
    expect((await alice.heard("ready")).userId).toBe(alice.session.userId.get());
    alice.link.stop();
    await status(alice.link.state, "stopped");
    expect(states[0]).toBe("connecting");
  });

  test("what is said is acknowledged, and others hear it", async () => {
    const [alice, bob] = await Promise.all([live(network(shared.url)), live(network(shared.url))]);
    const id = await conversation(alice, bob);
    const ack = await alice.link.say(message(id, "hello"));
    expect(ack.duplicate).toBe(false);
    const heard = await bob.heard("message");
    expect(heard).toMatchObject({ content: "hello", id: ack.messageId, seq: ack.seq });
    const mark = { conversationId: id, seq: ack.seq };
    await expect(
      bob.link.say({ case: "markRead", value: { $typeName: "natterjack.chat.v1.MarkReadRequest", ...mark } }),
    ).resolves.toMatchObject({ seq: ack.seq });
    await eventually(() => alice.events.some(({ event }) => event.case === "receipt" && event.value.readSeq === ack.seq));
  });

  test("requests keep their order, and answers find their requests", async () => {
    const [alice, bob] = await Promise.all([live(network(shared.url)), live(network(shared.url))]);
    const id = await conversation(alice, bob);
    const acks = await Promise.all(Array.from({ length: 100 }, (_, i) => alice.link.say(message(id, `${i}`))));
    expect(acks.map(({ seq }) => seq)).toEqual(acks.map((_, i) => (acks[0]?.seq ?? 0n) + BigInt(i)));
    await eventually(() => bob.events.filter(({ event }) => event.case === "message").length === 100);
  });

  test("a refused request rejects with its reason, and the stream goes on", async () => {
    const alice = await live(network(shared.url));
    await expect(alice.link.say(message("c0000000000000", "hello"))).rejects.toMatchObject({
      name: "ChatError",
      code: "invalid_argument",
    });
    const bob = await live(network(shared.url));
    const id = await conversation(alice, bob);
    await expect(alice.link.say(message(id, "a\u0000b"))).rejects.toMatchObject({
      code: "invalid_argument",
      reason: "INVALID_FIELD",
      field: "send_message.content",
    });
    await alice.link.say(message(id, "still here"));
    expect(alice.events.filter(({ event }) => event.case === "ready")).toHaveLength(1);
  });

  test("nothing can be said without a connection", async () => {
    const alice = open(network(shared.url));
    await expect(alice.link.say(message("c", "hello"))).rejects.toMatchObject({ code: "network" });
  });

  test("a link whose server is killed comes back, resumes by the token, and tells of what was cut", async () => {
    const server = await Server.forTest();
    const [alice, bob] = await Promise.all([live(network(server.url)), live(network(server.url))]);
    const id = await conversation(alice, bob);
    await alice.link.say(message(id, "before"));
    alice.hello = { token: (await alice.heard("caughtUp")).token, positions: [] };
    await server.kill();
    await until(alice.link.state, (state) => state.status !== "live");
    await expect(alice.link.say(message(id, "while away"))).rejects.toMatchObject({ code: "network" });
    const from = alice.events.length;
    await server.restart();
    expect(await status(alice.link.state, "live")).toEqual({ status: "live", over });
    expect((await alice.heard("ready", from)).resumeKind).toBe(ResumeKind.DELTA);
    await alice.link.say(message(id, "after"));
  });

  test("a request that is on its way when the connection is cut rejects as unknown", async () => {
    const proxy = await TroubleProxy.start(shared.url);
    const [alice, bob] = await Promise.all([live(network(proxy.url)), live(network(shared.url))]);
    const id = await conversation(alice, bob);
    proxy.swallow = true;
    const said = alice.link.say(message(id, "lost"));
    proxy.cut();
    await expect(said).rejects.toMatchObject({ code: "network" });
  });

  test("a server that drains is left in good order, and asked again when it says", async () => {
    const server = await Server.forTest({ NATTERJACK_DRAIN_SPREAD: "2s" });
    const alice = await live(network(server.url));
    const before = Date.now();
    const drained = server.drain();
    const { retryTime, attempt } = await status(alice.link.state, "waiting");
    expect(attempt).toBe(1);
    expect(retryTime).toBeGreaterThan(before);
    await drained;
    await server.restart();
    alice.link.reconnect();
    await status(alice.link.state, "live");
  });

  test("a revoked session ends, and the link with it", async () => {
    const user = newUser();
    const [alice, other] = [open(network(shared.url)), open(network(shared.url))];
    await alice.session.signUp(user);
    await other.session.signIn(user);
    alice.link.start();
    await status(alice.link.state, "live");
    await other.calls.auth.revokeAllSessions({ keepCurrent: true });
    await status(alice.link.state, "stopped");
    await until(alice.session.userId, (id) => id === undefined);
    expect(alice.session.ended.get()).toBe("revoked");
    await other.session.accessToken();
  });

  test("of two links of one device the newer stays, and the older doesn't fight", async () => {
    const storagePrefix = randomUUID();
    const [older, newer] = [
      open(network(shared.url), { inMemory: false, storagePrefix }),
      open(network(shared.url), { inMemory: false, storagePrefix }),
    ];
    await older.session.signUp(newUser());
    older.link.start();
    await status(older.link.state, "live");
    await until(newer.session.userId, (id) => typeof id === "string");
    newer.link.start();
    await status(older.link.state, "stopped");
    await status(newer.link.state, "live");
    // The server goes by the number of the attempt where two arrive in the wrong order.
    const keep = browserKeep(`${storagePrefix}.session`);
    expect(await keep.get("device")).toMatchObject({ attempt: 2 });
    keep.close();
  });

  test("watched users are told of, again on each new stream", async () => {
    const proxy = await TroubleProxy.start(shared.url);
    const [alice, bob] = await Promise.all([live(network(proxy.url)), live(network(shared.url))]);
    await conversation(alice, bob);
    const bobId = bob.session.userId.get() as string;
    alice.link.watch([bobId]);
    await eventually(() =>
      alice.events.some(({ event }) => event.case === "presence" && event.value.state === PresenceState.ONLINE),
    );
    bob.link.setInUse(false);
    await eventually(() =>
      alice.events.some(({ event }) => event.case === "presence" && event.value.state === PresenceState.AWAY),
    );
    const from = alice.events.length;
    proxy.cut();
    expect(await alice.heard("presence", from)).toMatchObject({ userId: bobId, state: PresenceState.AWAY });
  });

  test("a page that isn't shown is away, until its owner says otherwise", async () => {
    const surroundings = new Browser();
    const [alice, bob] = await Promise.all([live(network(shared.url), { link: { surroundings } }), live(network(shared.url))]);
    await conversation(alice, bob);
    bob.link.watch([alice.session.userId.get() as string]);
    const sees = (state: PresenceState) =>
      eventually(() => {
        const last = bob.events.findLast(({ event }) => event.case === "presence")?.event;
        return last?.case === "presence" && last.value.state === state;
      });
    await sees(PresenceState.ONLINE);
    surroundings.becomes({ visible: false });
    await sees(PresenceState.AWAY);
    alice.link.setInUse(true);
    await sees(PresenceState.ONLINE);
  });

  test("a dead network is noticed when the page hears of a change", async () => {
    const surroundings = new Browser();
    const proxy = await TroubleProxy.start(shared.url);
    const alice = await live(network(proxy.url), { link: { surroundings, times: { probe: 100 } } });
    surroundings.becomes({ online: true, visible: true }); // all is well
    proxy.forget();
    surroundings.becomes({ online: false });
    await until(alice.link.state, (state) => state.status !== "live");
    surroundings.becomes({ online: true });
    await status(alice.link.state, "live");
    expect(alice.events.filter(({ event }) => event.case === "ready")).toHaveLength(2);
  });

  test("a network that dies in silence is noticed after twice the heartbeat's interval", async () => {
    const proxy = await TroubleProxy.start(shared.url);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    const alice = await live(network(proxy.url));
    proxy.swallow = true;
    await vi.advanceTimersByTimeAsync(39_000);
    expect(alice.link.state.get().status).toBe("live");
    await vi.advanceTimersByTimeAsync(1_500);
    await until(alice.link.state, (state) => state.status !== "live");
  });

  test("a client that has nothing to say pings", async () => {
    const proxy = await TroubleProxy.start(shared.url);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    await live(network(proxy.url));
    await vi.advanceTimersByTimeAsync(24_000);
    const before = proxy.received;
    await vi.advanceTimersByTimeAsync(1_100);
    await eventually(() => proxy.received > before);
  });

  test("a link that is stopped leaves nothing behind", async () => {
    const surroundings = new Browser();
    const alice = open(network(shared.url), { link: { surroundings } });
    await alice.session.signUp(newUser());
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    alice.close(); // connections of calls have timers too
    const before = timers();
    const again = open(network(shared.url), { link: { surroundings } });
    await again.session.signUp(newUser());
    again.link.start();
    await status(again.link.state, "live");
    again.link.stop();
    again.close();
    await eventually(() => timers() <= before);
    expect(surroundings.unwatched).toBe(true);
    expect(again.link.state.get()).toEqual({ status: "stopped" });
  });

  test("without a network the state says so, and it comes back by itself", async () => {
    const server = await Server.forTest();
    const surroundings = new Browser();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }); // no pause ends by itself
    const alice = await live(network(server.url), { link: { surroundings } });
    surroundings.becomes({ online: false });
    await server.kill();
    await status(alice.link.state, "offline");
    await server.restart();
    surroundings.becomes({ online: true });
    await status(alice.link.state, "live");
  });

  test("a link can be stopped and started again at once", async () => {
    const alice = await live(network(shared.url));
    alice.link.stop();
    alice.link.start();
    const from = alice.events.length;
    await alice.heard("ready", from);
    await status(alice.link.state, "live");
  });

  test("a token of another store is dropped, and all comes anew", async () => {
    const alice = open(network(shared.url));
    await alice.session.signUp(newUser());
    alice.hello = { token: new Uint8Array([1, 2, 3]), positions: [] };
    alice.link.start();
    await status(alice.link.state, "live");
    expect((await alice.heard("ready")).resumeKind).toBe(ResumeKind.FULL);
  });

  test("a model that throws makes the connection start over", async () => {
    const alice = open(network(shared.url));
    await alice.session.signUp(newUser());
    let fail = true;
    const link = alice.createLink({
      hello: async () => alice.hello,
      events() {
        if (!fail) return;
        fail = false;
        throw new Error("a fault of the model");
      },
    });
    link.start();
    await status(link.state, "waiting");
    await status(link.state, "live");
    link.stop();
  });
});
