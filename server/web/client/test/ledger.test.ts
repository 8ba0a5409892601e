import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Ledger } from "../src/ledger.js";
import type { Outcome } from "../src/model/outcome.js";
import type { StoredConversation } from "../src/model/records.js";
import { type Change, memoryStorage } from "../src/storage.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function open(leads = true) {
  const written: Change[] = [];
  const storage = { ...memoryStorage(), write: async (_: string, change: Change) => void written.push(change) };
  const ledger = new Ledger(storage, "alice", () => []);
  await ledger.lead(leads);
  return { ledger, written, flush: () => vi.advanceTimersByTimeAsync(1_000) };
}

function outcome(o: Partial<Outcome>): Outcome {
  const none = { refetch: new Set<string>(), profiles: new Set<string>(), members: new Set<string>(), own: [], arrived: [] };
  return { records: new Map(), users: new Map(), token: undefined, reset: false, ...none, ...o };
}

const token = (n: number) => new Uint8Array([n]);
const record = (id: string) => new Map([[id, { id } as StoredConversation]]);

test("a token is stored with all that came before it, in one write", async () => {
  const { ledger, written, flush } = await open();
  ledger.note(outcome({ records: record("c") }), false);
  ledger.note(outcome({ token: token(1) }), false);
  expect(ledger.token).toEqual(new Uint8Array());
  await flush();
  expect(written).toHaveLength(1);
  expect(written[0]).toMatchObject({ token: token(1), conversations: record("c") });
  expect(ledger.token).toEqual(token(1));
});

test("a token waits while something before it is missing", async () => {
  const { ledger, written, flush } = await open();
  ledger.note(outcome({ token: token(1) }), true);
  await flush();
  expect(written.some((c) => c.token)).toBe(false);
  ledger.note(outcome({ records: record("c") }), false);
  await flush();
  expect(written.at(-1)).toMatchObject({ token: token(1), conversations: record("c") });
});

test("a draft is stored at once", async () => {
  const { ledger, written } = await open();
  ledger.noteDraft("c", "draft");
  await vi.advanceTimersByTimeAsync(0);
  expect(written).toMatchObject([{ drafts: new Map([["c", "draft"]]) }]);
});

test("a reset is stored at once, and lets go of what was to be stored", async () => {
  const { ledger, written, flush } = await open();
  ledger.note(outcome({ records: record("c"), token: token(1) }), false);
  ledger.note(outcome({ reset: true, records: record("d") }), false);
  await vi.advanceTimersByTimeAsync(0);
  expect(written).toHaveLength(1);
  expect(written[0]).toMatchObject({ reset: true, conversations: record("d") });
  expect(written[0]?.token).toBeUndefined();
  await flush();
  expect(ledger.token).toEqual(new Uint8Array());
});

test("a tab that takes the lead stores what it has heard before", async () => {
  const { ledger, written, flush } = await open(false);
  ledger.note(outcome({ records: record("c"), token: token(1) }), false);
  ledger.noteDraft("c", "draft");
  await flush();
  expect(written).toMatchObject([{ conversations: new Map(), drafts: new Map([["c", "draft"]]) }]);
  await ledger.lead(true);
  await ledger.store();
  expect(written[1]).toMatchObject({ conversations: record("c"), token: token(1) });

  await ledger.lead(false);
  ledger.note(outcome({ records: record("d") }), false);
  await ledger.open(); // anew, with what the leader has stored
  await ledger.lead(true);
  await ledger.store();
  expect(written.at(-1)?.conversations).toEqual(new Map());
});
