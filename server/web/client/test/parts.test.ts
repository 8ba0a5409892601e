import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorDetailSchema, ErrorReason } from "@natterjack/proto/chat/v1/error_pb.js";
import { GoodbyeReason, GoodbyeSchema, RequestErrorSchema } from "@natterjack/proto/chat/v1/stream_pb.js";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { chatError, failureOf, isChatError, networkError, requestFailed, toChatError } from "../src/errors.js";
import { browserNetwork } from "../src/network.js";
import { soon, Value } from "../src/observable.js";
import { Outgoing } from "../src/outgoing.js";
import { backoff, pause, Retries } from "../src/retries.js";
import { surroundings } from "../src/surroundings.js";
import { browserName } from "../src/wiring.js";

// As `soon` does it, so that it comes after what was to be done soon: a timeout may come before.
const nextTask = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a value", () => {
  test("tells of any number of changes once, in a later task", async () => {
    const value = new Value(1);
    const heard: number[] = [];
    value.subscribe(() => heard.push(value.get()));
    value.set(2);
    await Promise.resolve();
    value.set(3);
    expect(heard).toEqual([]);
    await nextTask();
    expect(heard).toEqual([3]);
    value.set(3);
    await nextTask();
    expect(heard).toEqual([3]);
  });

  test("tells nobody who has left, even while it tells", async () => {
    const value = new Value(1);
    const heard: string[] = [];
    const leave = value.subscribe(() => {
      heard.push("first");
      leaveSecond();
    });
    const leaveSecond = value.subscribe(() => heard.push("second"));
    value.set(2);
    await nextTask();
    leave();
    value.set(3);
    await nextTask();
    expect(heard).toEqual(["first"]);
  });

  test("goes on after a subscriber that throws", async () => {
    const uncaught = vi.fn();
    const before = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", uncaught);
    onTestFinished(() => {
      process.removeAllListeners("uncaughtException");
      for (const listener of before) process.on("uncaughtException", listener);
    });
    const after = vi.fn();
    soon(() => {
      throw new Error("a fault of the view");
    });
    soon(after);
    await nextTask();
    await nextTask();
    expect(after).toHaveBeenCalledOnce();
    expect(uncaught).toHaveBeenCalledOnce();
  });
});

describe("an error", () => {
  const detail = {
    desc: ErrorDetailSchema,
    value: { reason: ErrorReason.RATE_LIMITED, field: "a.b", retryAfter: { seconds: 2n, nanos: 5e8 } },
  };
  const incoming = (code: Code) => {
    const error = new ConnectError("slowly", code, undefined, [detail]);
    error.findDetails = () => [create(ErrorDetailSchema, detail.value)] as never;
    return error;
  };

  test("of the server carries what programs and people need", () => {
    const error = toChatError(incoming(Code.ResourceExhausted));
    expect(isChatError(error)).toBe(true);
    expect({ ...failureOf(error) }).toEqual({
      code: "resource_exhausted",
      message: "slowly",
      reason: "RATE_LIMITED",
      field: "a.b",
      retryAfter: 2500,
    });
    expect(failureOf(chatError(failureOf(error)))).toEqual(failureOf(error));
    expect(toChatError(error)).toBe(error);
  });

  test("of a request on a stream is like that of a call", () => {
    const refusal = create(RequestErrorSchema, { code: Code.ResourceExhausted, message: "slowly", detail: detail.value });
    expect(failureOf(requestFailed(refusal))).toEqual(failureOf(toChatError(incoming(Code.ResourceExhausted))));
  });

  test.each([Code.Canceled, Code.Unavailable, Code.Unknown, Code.Internal, Code.DeadlineExceeded, Code.Unauthenticated])(
    "with code %s that the server didn't explain is the network's",
    (code) => expect(toChatError(new ConnectError("", code)).code).toBe("network"),
  );

  test.each([
    [Code.Unimplemented, "unimplemented"],
    [Code.PermissionDenied, "permission_denied"],
  ])("with code %s keeps it", (code, name) =>
    expect(toChatError(new ConnectError("", code))).toMatchObject({ code: name, reason: "" }),
  );

  test("that is no answer is a fault of this side", () => {
    expect(toChatError(new TypeError("oops"))).toMatchObject({ code: "internal", message: "oops" });
    expect(toChatError("oops")).toMatchObject({ code: "internal", message: "oops" });
  });
});

describe("after a connection's end", () => {
  const goodbye = (reason: GoodbyeReason, seconds?: bigint) => ({
    goodbye: create(GoodbyeSchema, { reason, ...(seconds !== undefined && { reconnectDelay: { seconds } }) }),
  });
  const error = (code: string, reason = "", retryAfter?: number) => ({
    error: chatError({ code, reason, message: code, ...(retryAfter !== undefined && { retryAfter }) }),
  });
  const most = () => {
    vi.spyOn(Math, "random").mockReturnValue(1);
    onTestFinished(() => void vi.restoreAllMocks());
    return new Retries();
  };

  test("delays grow to a limit, and begin anew after a steady connection", () => {
    const retries = most();
    const delays = Array.from({ length: 9 }, () => retries.after(error("network"), "t", 0));
    expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    expect(retries.after(error("network"), "t", 9_999)).toBe(30_000);
    expect(retries.after(error("network"), "t", 10_000)).toBe(500);
  });

  test("the delay is anything from nothing to the limit", () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    onTestFinished(() => void vi.restoreAllMocks());
    expect(backoff(5)).toBe(0);
    expect(backoff(5000)).toBe(0);
  });

  test.each([
    ["superseded", goodbye(GoodbyeReason.SUPERSEDED), undefined],
    ["a protocol error", goodbye(GoodbyeReason.PROTOCOL_ERROR), undefined],
    ["a drain with a time", goodbye(GoodbyeReason.DRAIN, 7n), 7000],
    ["a slow reader", goodbye(GoodbyeReason.SLOW_CONSUMER), 500],
    ["a reason of a later version", goodbye(99 as GoodbyeReason), 500],
    ["a token that ran out", goodbye(GoodbyeReason.TOKEN_EXPIRED), 0],
    ["a revoked session", goodbye(GoodbyeReason.SESSION_REVOKED), 0],
    ["a hello that is wrong", error("invalid_argument", "INVALID_FIELD"), undefined],
    ["a token of another store", error("invalid_argument", "INVALID_TOKEN"), 500],
    ["a limit with a time", error("resource_exhausted", "RATE_LIMITED", 3000), 3500],
    ["a refused token", error("unauthenticated", "TOKEN_EXPIRED"), 0],
    ["one's own wish", { reopen: true } as const, 0],
  ])("%s", (_, end, delay) => expect(most().after(end, "t", 0)).toBe(delay));

  test("a token that is refused again and again is asked for ever more slowly", () => {
    const retries = most();
    const refused = error("unauthenticated", "INVALID_SESSION");
    expect([retries.after(refused, "a", 0), retries.stale]).toEqual([0, "a"]);
    expect([retries.after(refused, "b", 0), retries.stale]).toEqual([1000, "b"]);
    expect([retries.after(error("network"), "c", 0), retries.stale]).toEqual([2000, undefined]);
  });

  test("nothing follows where there is no session", () =>
    expect(most().after(error("unauthenticated"), undefined, 0)).toBeUndefined());

  test("a pause ends with its signal", async () => {
    const stop = new AbortController();
    const paused = pause(1e9, stop.signal);
    stop.abort();
    await paused;
    await pause(1e9, stop.signal);
  });
});

test("a queue that its reader has left takes nothing more", async () => {
  const queue = new Outgoing<number>();
  queue.push(1);
  queue.push(2);
  expect(await queue.next()).toEqual({ done: false, value: 1 });
  await expect(queue.throw(new Error("gone"))).rejects.toThrow("gone");
  queue.push(3);
  expect(await queue.next()).toEqual({ done: true, value: undefined });
});

test("a queue that ends is read to its end", async () => {
  const queue = new Outgoing<number>();
  const waiting = queue.next();
  queue.push(1);
  queue.push(2);
  queue.end();
  expect(await waiting).toEqual({ done: false, value: 1 });
  expect([await queue.next(), await queue.next()]).toEqual([
    { done: false, value: 2 },
    { done: true, value: undefined },
  ]);
});

test("where there is no page, the device is online and in use", () => {
  const around = surroundings();
  expect([around.online(), around.visible()]).toEqual([true, true]);
  around.watch(() => {})();
});

test("the page and its window are listened to, and let go", () => {
  const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const window = new EventTarget();
  vi.stubGlobal("document", page);
  vi.stubGlobal("navigator", { onLine: false });
  vi.stubGlobal("addEventListener", window.addEventListener.bind(window));
  vi.stubGlobal("removeEventListener", window.removeEventListener.bind(window));
  onTestFinished(() => void vi.unstubAllGlobals());
  const around = surroundings();
  const changed = vi.fn();
  const leave = around.watch(changed);
  page.visibilityState = "hidden";
  page.dispatchEvent(new Event("visibilitychange"));
  for (const type of ["online", "offline", "pageshow"]) window.dispatchEvent(new Event(type));
  expect(changed).toHaveBeenCalledTimes(4);
  expect([around.online(), around.visible()]).toEqual([false, false]);
  leave();
  window.dispatchEvent(new Event("online"));
  expect(changed).toHaveBeenCalledTimes(4);
});

test.each([
  ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"],
  [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Chrome on Windows",
  ],
  [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    "Edge on Windows",
  ],
  [
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
    "Safari on macOS",
  ],
  [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
    "Safari on iOS",
  ],
  [
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Chrome on Android",
  ],
  ["Node.js/22", "Node.js"],
  ["", "Browser"],
])("a device is named after its browser: %s", (userAgent, name) => expect(browserName(userAgent)).toBe(name));

test("a program without a page has to say where the server is", () => {
  expect(() => browserNetwork()).toThrow("serverUrl is needed");
  expect(browserNetwork("https://chat.example.org/").over).toBe("websocket");
  expect(networkError("x").code).toBe("network");
});
