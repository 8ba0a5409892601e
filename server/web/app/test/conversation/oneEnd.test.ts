import type { TimelineState } from "@natterjack/client";
import { describe, expect, it } from "vitest";
import { oneEnd } from "../../src/conversation/useOneEnd.ts";
import { message } from "../fake.ts";

const piece = (first: number, last: number): TimelineState => ({
  messages: Array.from({ length: Math.max(0, last - first + 1) }, (_, at) =>
    message("x", { key: `k${first + at}`, seq: first + at }),
  ),
  hasOlder: first > 1,
  hasNewer: last < 100,
  loading: "none",
  openedReadSeq: 0,
});
const span = ({ messages }: TimelineState) => [messages[0]?.seq, messages.at(-1)?.seq];

describe("a timeline that grows", () => {
  it.each<[string, TimelineState, TimelineState]>([
    ["not at all", piece(10, 20), piece(10, 20)],
    ["from nothing", piece(1, 0), piece(10, 20)],
    ["above", piece(10, 20), piece(5, 20)],
    ["below", piece(10, 20), piece(10, 30)],
    ["into another piece", piece(10, 20), piece(50, 60)],
    ["less at its end", piece(10, 20), piece(5, 15)],
  ])("%s is shown at once", (_, before, target) => expect(oneEnd(before, target)).toBe(target));

  it("above and below is shown in two steps, and asks for nothing in between", () => {
    const target = piece(5, 30);
    const step = oneEnd(piece(10, 20), target);
    expect(span(step)).toEqual([5, 20]);
    expect(step).toMatchObject({ hasNewer: true, loading: "newer" });
    expect(oneEnd(step, target)).toBe(target);
  });
});
