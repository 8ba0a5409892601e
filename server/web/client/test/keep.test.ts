import "fake-indexeddb/auto";
import { expect, onTestFinished, test, vi } from "vitest";
import { browserKeep } from "../src/keep.js";

test("what a full disk takes no more is remembered, before what it has", async () => {
  const keep = browserKeep("keep-full");
  onTestFinished(() => keep.close());
  await keep.update("session", () => "first");
  const put = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  expect(await keep.update("session", (old) => `${old}, second`)).toBe("first, second");
  // A spent refresh token that was used again would end the session.
  expect(await keep.get("session")).toBe("first, second");
  expect(keep.works.get()).toBe(false);
  put.mockRestore();
  await keep.update("session", (old) => `${old}, third`);
  expect(keep.works.get()).toBe(true);
  const next = browserKeep("keep-full");
  onTestFinished(() => next.close());
  expect(await next.get("session")).toBe("first, second, third");
});

test("a database that doesn't answer is waited for once; what it would have kept is remembered", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const opening = vi.spyOn(indexedDB, "open").mockReturnValue(new IDBOpenDBRequest());
  onTestFinished(() => {
    vi.useRealTimers();
    opening.mockRestore();
  });
  const keep = browserKeep("keep-silent");
  const got = keep.get("session");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await got).toBeUndefined();
  expect(keep.works.get()).toBe(false);
  expect(await keep.update("session", () => "first")).toBe("first"); // at once
  expect(await keep.get("session")).toBe("first");
});
