import { create } from "@bufbuild/protobuf";
import { AckSchema } from "@natterjack/proto/chat/v1/stream_pb.js";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { chatError, networkError } from "../src/errors.js";
import { Marker } from "../src/marker.js";
import { Ephemera } from "../src/model/ephemera.js";
import { Model } from "../src/model/model.js";
import { Notifier } from "../src/model/signal.js";
import { Typist } from "../src/typist.js";
import type { Link, Say } from "../src/wire.js";
import { id, peer, self, World } from "./world.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("typing", () => {
  function open() {
    const said: string[] = [];
    return { said, typist: new Typist((c, typing) => said.push(`${c} ${typing}`)) };
  }

  test("is said at once, then every three seconds while input goes on, and ends three seconds after it", () => {
    const { said, typist } = open();
    for (let t = 0; t < 7_000; t += 500) {
      typist.input("c");
      vi.advanceTimersByTime(500);
    }
    expect(said).toEqual(["c true", "c true", "c true"]);
    vi.advanceTimersByTime(2_400);
    expect(said).toHaveLength(3);
    vi.advanceTimersByTime(200);
    expect(said.at(-1)).toBe("c false");
  });

  test("ends when it is given up, but says nothing where a message does", () => {
    const { said, typist } = open();
    typist.input("c");
    typist.end("c", true);
    typist.input("d");
    typist.end("d");
    typist.end("d");
    typist.input("e");
    typist.close();
    vi.advanceTimersByTime(10_000);
    expect(said).toEqual(["c true", "d true", "d false", "e true"]);
  });

  test("of others ends after six seconds, and what is told keeps its identity", () => {
    const user = (u: string) => ({ id: u, username: u, displayName: u, avatarUrl: "" });
    const users = new Map(["u", "v"].map((u) => [u, user(u)]));
    const ephemera = new Ephemera(new Notifier(), (u) => users.get(u) ?? user(u));
    ephemera.type("c", "u", true);
    const before = ephemera.typing("c").get();
    expect(before.map((u) => u.id)).toEqual(["u"]);
    vi.advanceTimersByTime(3_000);
    ephemera.type("c", "u", true);
    expect(ephemera.typing("c").get()).toBe(before);
    ephemera.type("c", "v", true);
    vi.advanceTimersByTime(5_900);
    expect(ephemera.typing("c").get()).toHaveLength(2);
    ephemera.type("c", "v", false);
    vi.advanceTimersByTime(200);
    expect(ephemera.typing("c").get()).toEqual([]);
  });
});

test("presence is watched for as long as somebody looks, and unknown without a connection", () => {
  const ephemera = new Ephemera(new Notifier(), () => ({ id: "", username: "", displayName: "", avatarUrl: "" }));
  let told = 0;
  ephemera.onWatch = () => told++;
  const p = ephemera.presence("u");
  const [stop, stopToo] = [p.subscribe(() => {}), p.subscribe(() => {})];
  expect([ephemera.watched(), told]).toEqual([["u"], 1]);
  ephemera.setPresence("u", { state: "online" });
  const before = p.get();
  ephemera.setPresence("u", { state: "online" });
  expect(p.get()).toBe(before);
  expect(ephemera.presences()).toEqual([["u", { state: "online" }]]);
  ephemera.silence();
  expect(p.get()).toEqual({ state: "unknown" });
  stop();
  expect(told).toBe(1);
  stopToo();
  expect([ephemera.watched(), told]).toEqual([[], 2]);
});

describe("marks", () => {
  function open() {
    const world = new World(() => {});
    for (let i = 0; i < 9; i++) world.send(peer);
    const model = new Model(self, new Notifier(), () => {});
    model.summary(world.summary());
    const said: string[] = [];
    const answers: ((error?: Error) => Promise<unknown>)[] = [];
    const link = {
      say: (request: Say) =>
        new Promise((resolve, reject) => {
          said.push(`${request.case} ${(request.value as { seq: bigint }).seq}`);
          answers.push((error) => {
            if (error) reject(error);
            else resolve(create(AckSchema));
            return vi.advanceTimersByTimeAsync(0).then(drain);
          });
        }),
    } as unknown as Link;
    const marker = new Marker(model);
    // As the device does it.
    const drain = () => {
      for (const r of model.take().records.values()) if (r) marker.touch(r);
    };
    const read = (seq: number) => {
      model.markRead(id, seq);
      drain();
    };
    return { model, marker, link, said, answers, read };
  }

  test("that come in quick succession are said once, and only forward", async () => {
    const { marker, link, said, answers, read, model } = open();
    marker.connect(link);
    for (const seq of [3, 5, 4]) read(seq);
    await vi.advanceTimersByTimeAsync(300);
    expect(said).toEqual(["markRead 5"]);
    read(7);
    await vi.advanceTimersByTimeAsync(300);
    expect(said).toHaveLength(1); // one at a time
    await answers[0]?.();
    await vi.advanceTimersByTimeAsync(300);
    expect(said).toEqual(["markRead 5", "markRead 7"]);
    await answers[1]?.();
    await vi.advanceTimersByTimeAsync(300);
    expect(said[2]).toBe("markDelivered 10"); // the rest has come to this device
    await answers[2]?.();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(said).toHaveLength(3);
    expect(model.state(id)?.record).toMatchObject({ saidReadSeq: 7, saidDeliveredSeq: 10 });
  });

  test("that were not answered are said over the next connection, and those refused for now later", async () => {
    const { marker, link, said, answers, read } = open();
    read(10);
    marker.connect(link);
    await vi.advanceTimersByTimeAsync(300);
    await answers[0]?.(networkError("cut"));
    marker.connect(undefined);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(said).toEqual(["markRead 10"]);
    marker.connect(link);
    await vi.advanceTimersByTimeAsync(300);
    await answers[1]?.(chatError({ code: "unavailable", message: "", retryAfter: 2_000 }));
    await vi.advanceTimersByTimeAsync(1_900);
    expect(said).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(200);
    expect(said).toEqual(["markRead 10", "markRead 10", "markRead 10"]);
  });
});
