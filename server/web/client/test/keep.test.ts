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
  put.mockRestore();
  await keep.update("session", (old) => `${old}, third`);
  const next = browserKeep("keep-full");
  onTestFinished(() => next.close());
  expect(await next.get("session")).toBe("first, second, third");
});
