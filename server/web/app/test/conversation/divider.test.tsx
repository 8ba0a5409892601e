import type { TimelineState } from "@natterjack/client";
import { act, useLayoutEffect } from "react";
import { afterEach, expect, it, vi } from "vitest";
import { rowsOfState } from "../../src/conversation/rows.ts";
import { useDivider } from "../../src/conversation/useDivider.ts";
import { draw } from "../draw.tsx";
import { fakeChat, message } from "../fake.ts";

afterEach(() => void vi.restoreAllMocks());

const upTo = (last: number): TimelineState => ({
  messages: Array.from({ length: last }, (_, at) => message(`${at + 1}`, { seq: at + 1 })),
  hasOlder: false,
  hasNewer: false,
  loading: "none",
  openedReadSeq: 2,
});

interface LinesProps {
  state: TimelineState;
  atEnd: boolean;
  current: boolean;
}

function Lines({ state, atEnd, current }: LinesProps) {
  const [shown, look] = useDivider(state);
  const rows = rowsOfState(shown);
  useLayoutEffect(() => look({ atEnd, current, divided: rows.some((row) => row.kind === "new") }));
  return rows.map((row) => (row.kind === "message" ? row.message.content : row.kind === "new" ? "new" : "")).join(" ");
}

/** A timeline of which 2 messages have been read, with `count` messages; the function draws it anew and answers with its lines. */
async function open(count: number, chat = fakeChat()) {
  const { place, again } = await draw(chat, <Lines state={upTo(count)} atEnd current />);
  const show = async (count: number, more: Partial<LinesProps> = {}) => {
    await again(<Lines state={upTo(count)} atEnd current {...more} />);
    return place.textContent?.trim().replace(/\s+/g, " ");
  };
  const visible = async (state: DocumentVisibilityState) => {
    vi.spyOn(document, "visibilityState", "get").mockReturnValue(state);
    await act(async () => void document.dispatchEvent(new Event("visibilitychange")));
  };
  return { show, visible };
}

it("stands before what was unread when one came, and stays there", async () => {
  const { show } = await open(3);
  expect(await show(3)).toBe("1 2 new 3");
  expect(await show(4)).toBe("1 2 new 3 4");
});

it("stands nowhere while one reads at the end", async () => {
  const { show } = await open(2);
  expect(await show(3)).toBe("1 2 3");
  expect(await show(5)).toBe("1 2 3 4 5");
});

it("stands before what came while one was further up", async () => {
  const { show } = await open(2);
  await show(3);
  await show(3, { atEnd: false });
  expect(await show(4, { atEnd: false })).toBe("1 2 3 new 4");
  expect(await show(5)).toBe("1 2 3 new 4 5");
});

it("stands before what came while the tab was hidden, and no longer where it stood before that", async () => {
  const { show, visible } = await open(3);
  expect(await show(4)).toBe("1 2 new 3 4");
  await visible("hidden");
  expect(await show(5)).toBe("1 2 3 4 new 5");
  await visible("visible");
  expect(await show(6)).toBe("1 2 3 4 new 5 6");
});

it("stands before what came while there was no connection, or before all was loaded", async () => {
  const away = await open(2, fakeChat({ connection: { status: "offline" } }));
  expect(await away.show(3)).toBe("1 2 new 3");
  const { show } = await open(2);
  await show(2, { current: false, atEnd: false });
  await show(2, { current: false });
  expect(await show(3)).toBe("1 2 new 3");
});
