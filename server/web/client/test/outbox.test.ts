import { create } from "@bufbuild/protobuf";
import { type Ack, AckSchema } from "@natterjack/proto/chat/v1/stream_pb.js";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { chatError, networkError } from "../src/errors.js";
import type { OutboxItem, StoredMessage } from "../src/model/records.js";
import { Outbox } from "../src/outbox.js";
import type { Link, Say } from "../src/wire.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Call {
  readonly content: string;
  readonly id: string;
  answer(seq: number): Promise<void>;
  refuse(error: Error): Promise<void>;
}

/** An outbox, what it keeps, shows, and has on its way. */
function open(kept: OutboxItem[] = [], storing: () => Promise<void> = async () => {}) {
  const calls: Call[] = [];
  const store = new Map(kept.map((i) => [i.id, i]));
  const shown = new Map<string, readonly OutboxItem[]>();
  const turn = () => vi.advanceTimersByTimeAsync(0);
  const link = {
    say(request: Say) {
      if (request.case !== "sendMessage") throw new Error(request.case);
      const { content, clientMessageId } = request.value as { content: string; clientMessageId: string };
      return new Promise<Ack>((resolve, reject) => {
        calls.push({
          content,
          id: clientMessageId,
          answer: (seq) => {
            resolve(create(AckSchema, { seq: BigInt(seq) }));
            return turn().then(() => {});
          },
          refuse: (error) => {
            reject(error);
            return turn().then(() => {});
          },
        });
      });
    },
  } as unknown as Link;
  const outbox = new Outbox({
    show: (id, items) => shown.set(id, items),
    keep: async (changes) => {
      await storing();
      for (const [id, item] of changes) {
        if (item) store.set(id, item);
        else store.delete(id);
      }
    },
    tell: () => {},
  });
  outbox.restore(kept);
  const states = (id: string) => (shown.get(id) ?? []).map((i) => `${i.content} ${i.state}`);
  return { outbox, link, calls, store, shown, states };
}

test("messages of one conversation go one after the other, and those of others beside them", async () => {
  const { outbox, link, calls, states } = open();
  for (const [c, text] of [
    ["a", "1"],
    ["a", "2"],
    ["b", "3"],
  ] as const) {
    await outbox.add(c, text, 0);
  }
  outbox.connect(link);
  expect(calls.map((c) => c.content)).toEqual(["1", "3"]);
  await calls[0]?.answer(7);
  expect(calls.map((c) => c.content)).toEqual(["1", "3", "2"]);
  expect(states("a")).toEqual(["1 stored", "2 waiting"]);
  outbox.settle("a", 7);
  expect(states("a")).toEqual(["2 waiting"]);
});

test("a message is shown at once, and neither sent nor said to be kept before it is", async () => {
  let stored = () => {};
  const storing = new Promise<void>((resolve) => {
    stored = resolve;
  });
  const { outbox, link, calls, store, shown } = open([], () => storing);
  outbox.connect(link);
  const added = outbox.add("a", "1", 0);
  expect(shown.get("a")).toMatchObject([{ content: "1", unkept: true }]);
  expect(calls).toEqual([]);
  stored();
  await added;
  expect(shown.get("a")?.[0]).not.toHaveProperty("unkept");
  expect([...store.values()][0]).not.toHaveProperty("unkept");
  expect(calls.map((c) => c.content)).toEqual(["1"]);
});

test("what was cut off is sent again under its id, before what came later", async () => {
  const { outbox, link, calls } = open();
  outbox.connect(link);
  await outbox.add("a", "1", 0);
  await outbox.add("a", "2", 0);
  outbox.connect(undefined);
  await calls[0]?.refuse(networkError("cut"));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(calls).toHaveLength(1);
  outbox.connect(link);
  expect(calls.map((c) => c.content)).toEqual(["1", "1"]);
  expect(calls[1]?.id).toBe(calls[0]?.id);
});

test("what is refused for now waits as long as the server says, and holds back what follows", async () => {
  const { outbox, link, calls } = open();
  outbox.connect(link);
  await outbox.add("a", "1", 0);
  await outbox.add("a", "2", 0);
  await calls[0]?.refuse(chatError({ code: "resource_exhausted", reason: "RATE_LIMITED", message: "", retryAfter: 60_000 }));
  await vi.advanceTimersByTimeAsync(59_000);
  expect(calls).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(calls.map((c) => c.content)).toEqual(["1", "1"]);
});

test("what is refused for good stays, and what follows goes on", async () => {
  const { outbox, link, calls, states, store } = open();
  outbox.connect(link);
  await outbox.add("a", "1", 0);
  await outbox.add("a", "2", 0);
  await calls[0]?.refuse(chatError({ code: "permission_denied", reason: "ROLE_TOO_LOW", message: "no" }));
  expect(states("a")).toEqual(["1 failed", "2 waiting"]);
  expect([...store.values()].find((i) => i.content === "1")?.error).toMatchObject({ code: "permission_denied" });
  await calls[1]?.answer(2);
  await outbox.retry(calls[0]?.id ?? "");
  expect(states("a")).toEqual(["2 stored", "1 waiting"]);
  expect(calls[2]).toMatchObject({ content: "1", id: calls[0]?.id });
  await calls[2]?.refuse(chatError({ code: "permission_denied", message: "no" }));
  await outbox.discard(calls[0]?.id ?? "");
  expect(states("a")).toEqual(["2 stored"]);
  expect([...store.values()].map((i) => i.content)).toEqual(["2"]);
});

test("a message that the server is seen to have is not sent again", async () => {
  const { outbox, link, calls, states } = open();
  outbox.connect(link);
  await outbox.add("a", "1", 0);
  outbox.seen([{ clientId: calls[0]?.id ?? "", seq: 5, time: 1 } as StoredMessage]);
  expect(states("a")).toEqual(["1 stored"]);
  outbox.connect(undefined);
  outbox.connect(link);
  expect(calls).toHaveLength(1);
});

test("after a reset, what was stored within a day goes out again, in its old order and before what waits", async () => {
  const { outbox, link, calls } = open();
  outbox.connect(link);
  for (const text of ["1", "2"]) {
    await outbox.add("a", text, 0);
    await calls.at(-1)?.answer(calls.length);
  }
  outbox.settle("a", 2);
  outbox.connect(undefined);
  await outbox.add("a", "3", 0);
  outbox.reassert();
  outbox.connect(link);
  for (let i = 2; i < 5; i++) await calls[i]?.answer(i);
  expect(calls.map((c) => c.content)).toEqual(["1", "2", "1", "2", "3"]);
  expect(calls[2]?.id).toBe(calls[0]?.id);

  await vi.advanceTimersByTimeAsync(25 * 3_600_000);
  outbox.reassert();
  await vi.advanceTimersByTimeAsync(0);
  expect(calls).toHaveLength(5);
});

test("what was kept is sent by the next one, in the order of its writing", async () => {
  const first = open();
  for (const text of ["1", "2", "3"]) await first.outbox.add("a", text, 0);
  const { outbox, link, calls } = open([...first.store.values()].reverse());
  outbox.connect(link);
  for (let i = 0; i < 3; i++) await calls[i]?.answer(i + 1);
  expect(calls.map((c) => c.content)).toEqual(["1", "2", "3"]);
});

test.each([
  ["", "is empty"],
  ["é".repeat(8_193), "is longer"],
  ["a\u0000b", "control characters"],
])("content that can never be sent is refused at once (%#)", async (content, why) => {
  const { outbox } = open();
  await expect(outbox.add("a", content, 0)).rejects.toThrow(why);
});

test("a clock that is set back puts nothing before what waits", async () => {
  const before = open();
  await before.outbox.add("c", "first", 0);
  vi.setSystemTime(Date.now() - 3_600_000);
  const after = open([...before.store.values()]);
  await after.outbox.add("c", "second", 0);
  expect(after.states("c")).toEqual(["first waiting", "second waiting"]);
});
