import type { Message } from "@natterjack/client";
import { describe, expect, it } from "vitest";
import { nextMessageRow, oldestKey, type Row, rowOfSeq, rowsOf, withEnds } from "../../src/conversation/rows.ts";

const noon = new Date(2026, 4, 6, 12, 0).getTime();
const minute = 60_000;

function message(seq: number, over: Partial<Message> = {}): Message {
  const base = { key: `m${seq}`, conversationId: "c", seq, senderId: "ada", content: `text ${seq}`, time: noon + seq * 1000 };
  return { ...base, deleted: false, replyTo: 0, reactions: [], mine: false, ...over };
}

/** Rows in short: D for a day, N for the divider, a message's seq, with ( where it begins a group and ) where it ends one. */
function drawn(rows: readonly Row[]): string {
  return rows
    .map((row) =>
      row.kind === "message" ? `${row.first ? "(" : ""}${row.message.seq}${row.last ? ")" : ""}` : row.kind === "day" ? "D" : "N",
    )
    .join(" ");
}

describe("rows", () => {
  it.each<[string, Message[], number, boolean, string]>([
    ["nothing", [], 0, false, ""],
    ["one", [message(1)], 1, false, "D (1)"],
    ["a group of one sender", [message(1), message(2), message(3)], 3, false, "D (1 2 3)"],
    ["another sender ends it", [message(1), message(2, { senderId: "bob" }), message(3)], 3, false, "D (1) (2) (3)"],
    [
      "five minutes end it",
      [message(1), message(2, { time: noon + 5 * minute + 1000 }), message(3, { time: noon + 6 * minute })],
      3,
      false,
      "D (1) (2 3)",
    ],
    [
      "midnight ends it",
      [message(1, { time: noon + 719 * minute }), message(2, { time: noon + 721 * minute })],
      2,
      false,
      "D (1) D (2)",
    ],
    ["new ones are divided", [message(1), message(2), message(3)], 1, false, "D (1) N (2 3)"],
    [
      "one's own are never new",
      [message(1), message(2, { mine: true, senderId: "me" }), message(3)],
      1,
      false,
      "D (1) (2) N (3)",
    ],
    ["nothing is new", [message(1), message(2)], 2, false, "D (1 2)"],
    ["all are new, and nothing was read before", [message(1), message(2)], 0, false, "D (1 2)"],
    ["the first new one is not loaded", [message(7), message(8)], 3, true, "D (7 8)"],
    ["all that is left after joining is new", [message(7), message(8)], 6, false, "D N (7 8)"],
    [
      "those of the outbox come last",
      [message(1), message(0, { key: "out", mine: true, senderId: "me" })],
      1,
      false,
      "D (1) (0)",
    ],
  ])("%s", (_, messages, readSeq, hasOlder, want) => expect(drawn(rowsOf(messages, readSeq, hasOlder))).toBe(want));

  it("have keys of their own that stay when older ones are loaded", () => {
    const later = rowsOf([message(5), message(6)], 5, true);
    const all = rowsOf([message(3), message(4), message(5), message(6)], 5, true);
    expect(new Set(all.map((row) => row.key)).size).toBe(all.length);
    expect(all.slice(-3).map((row) => row.key)).toEqual(later.slice(-3).map((row) => row.key));
  });

  it("say what is at both ends", () => {
    const kinds = (hasOlder: boolean, hasNewer: boolean) =>
      withEnds(rowsOf([message(1)], 1, hasOlder), { hasOlder, hasNewer }).map((row) => row.kind);
    expect(kinds(false, false)).toEqual(["beginning", "day", "message", "end"]);
    expect(kinds(true, true)).toEqual(["older", "day", "message", "newer"]);
    expect(oldestKey(withEnds(rowsOf([message(4)], 4, true), { hasOlder: true, hasNewer: false }))).toBe("m4");
    expect(oldestKey([])).toBeUndefined();
  });

  it("are found by seq and by direction", () => {
    const rows = rowsOf([message(1), message(2)], 1, false);
    expect(rowOfSeq(rows, 2)).toBe(3);
    expect(rowOfSeq(rows, 9)).toBe(-1);
    expect(nextMessageRow(rows, 3, -1)).toBe(1);
    expect(nextMessageRow(rows, 1, -1)).toBe(-1);
    expect(nextMessageRow(rows, rows.length, -1)).toBe(3);
  });
});
