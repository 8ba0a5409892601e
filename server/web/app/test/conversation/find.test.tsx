import type { FoundMessage, Page } from "@natterjack/client";
import { act } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { chatError } from "../../../client/src/errors.ts";
import Find from "../../src/conversation/Find.tsx";
import { click, draw, named, press, write } from "../draw.tsx";
import { fakeChat, message } from "../fake.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const found = (...contents: string[]): FoundMessage[] =>
  contents.map((content, at) => ({ message: message(content, { seq: at + 1 }), conversationId: "c1" }));

async function open() {
  const chat = fakeChat();
  const asked: { query: string; answer: (page: Page<FoundMessage>) => void; fail: (error: Error) => void }[] = [];
  chat.searchMessages = (query) => new Promise((answer, fail) => void asked.push({ query, answer, fail }));
  const on = { onJump: vi.fn(), onClose: vi.fn() };
  const { place } = await draw(chat, <Find conversationId="c1" {...on} />);
  const field = place.querySelector("input") as HTMLInputElement;
  const search = async (query: string) => {
    await write(field, query);
    await act(() => vi.advanceTimersByTimeAsync(1000));
  };
  const answer = (at: number, page: Page<FoundMessage>) => act(async () => asked[at]?.answer(page));
  return { place, field, asked, search, answer, ...on };
}

it("asks once writing pauses for what was written, also where a word goes on, and leads to what it finds", async () => {
  const { place, field, asked, search, answer, onJump } = await open();
  await write(field, "po");
  await search(" pond ");
  expect(asked.map(({ query }) => query)).toEqual(["pond*"]);
  await answer(0, { items: found("a pond", "two ponds") });
  await click(named(place, "li button", /two ponds/));
  expect(onJump).toHaveBeenCalledWith(2);
});

it("leads from the field through what is found by arrow keys, except those of an input method", async () => {
  const { place, field, search, answer } = await open();
  await search("pond");
  await answer(0, { items: found("a pond", "two ponds") });
  const [first, second] = place.querySelectorAll("li button");
  field.focus();
  await press(field, "ArrowDown", { isComposing: true });
  expect(document.activeElement).toBe(field);
  const steps: [string, Element | null | undefined][] = [
    ["ArrowDown", first],
    ["ArrowDown", second],
    ["ArrowDown", second],
    ["ArrowUp", first],
    ["ArrowUp", field],
  ];
  for (const [key, reached] of steps) {
    await press(document.activeElement as Element, key);
    expect(document.activeElement).toBe(reached);
  }
});

it("shows what the last query found, in whatever order the answers come", async () => {
  const { place, search, answer } = await open();
  await search("first");
  await search("second");
  await answer(1, { items: found("of the second") });
  await answer(0, { items: found("of the first") });
  expect(place.textContent).toContain("of the second");
  expect(place.textContent).not.toContain("of the first");
});

it("goes on to the next page", async () => {
  const { place, search, answer } = await open();
  await search("x");
  await answer(0, { items: found("one"), next: async () => ({ items: found("two") }) });
  await click(named(place, "button", "Show more"));
  expect([...place.querySelectorAll("li")]).toHaveLength(2);
});

it("says that nothing was found, and why nothing could be", async () => {
  const { place, asked, search, answer } = await open();
  await search("x");
  await answer(0, { items: [] });
  expect(place.textContent).toContain("Nothing found for “x”.");
  await search("y");
  await act(async () => asked[1]?.fail(chatError({ code: "network", message: "no" })));
  expect(place.textContent).toContain("could not be reached");
});

it("is left with Escape, once the field is empty", async () => {
  const { field, onClose } = await open();
  await write(field, "x");
  await press(field, "Escape");
  expect(field.value).toBe("");
  expect(onClose).not.toHaveBeenCalled();
  await press(field, "Escape");
  expect(onClose).toHaveBeenCalledOnce();
});
