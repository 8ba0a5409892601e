import type { Conversation } from "@natterjack/client";
import { act, createRef } from "react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { chatError } from "../../../client/src/errors.ts";
import { Composer, type ComposerHandle, type Writing } from "../../src/conversation/Composer.tsx";
import { maxBytes } from "../../src/conversation/limit.ts";
import { click, draw, named, press, write } from "../draw.tsx";
import { conversation, fakeChat, message } from "../fake.ts";

const stored = message("the *original*", { key: "k7", seq: 7, senderId: "u1", mine: true, delivery: "sent" });

async function open({ writing = { kind: "new" } as Writing, ...more }: Partial<Conversation> & { writing?: Writing } = {}) {
  const chat = fakeChat({ conversations: [conversation("c1", "Ponds", more)] });
  const on = { onDone: vi.fn(), onSent: vi.fn(), onEditLast: vi.fn(), onPickEmoji: vi.fn() };
  const handle = createRef<ComposerHandle>();
  const node = (now: Writing) => <Composer ref={handle} conversation={conversation("c1", "Ponds", more)} writing={now} {...on} />;
  const { place, again } = await draw(chat, node(writing));
  const area = () => place.querySelector("textarea") as HTMLTextAreaElement;
  const did = (name: string) => chat.calls.filter(([call]) => call === name).map(([, ...args]) => args);
  return { chat, place, area, did, handle, ...on, turn: (now: Writing) => again(node(now)) };
}

/** A touch screen, or not. */
function touch(is: boolean): void {
  vi.spyOn(window, "matchMedia").mockImplementation((query) => ({ matches: is && query.includes("coarse") }) as MediaQueryList);
}

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("Enter", () => {
  it("sends what was written, empties the line, and ends typing", async () => {
    const { area, did, onSent } = await open();
    await write(area(), "  two\n  lines \n");
    expect(await press(area(), "Enter")).toBe(false);
    expect(did("send")).toEqual([["c1", "  two\n  lines", {}]]);
    expect(area().value).toBe("");
    expect(did("setTyping").at(-1)).toEqual(["c1", false]);
    expect(onSent).toHaveBeenCalledOnce();
  });

  it("keeps the message before it drops the draft: a page that is killed between the two loses neither", async () => {
    const { chat, area } = await open();
    await write(area(), "important");
    await press(area(), "Enter");
    const kept = chat.calls.filter(([call, , text]) => call === "send" || (call === "setDraft" && text === ""));
    expect(kept.map(([call]) => call)).toEqual(["send", "setDraft"]);
  });

  it.each<[string, KeyboardEventInit]>([
    ["with Shift, which begins a line", { shiftKey: true }],
    ["of an input method", { isComposing: true }],
    ["that ends a composition in Safari", { keyCode: 229 }],
  ])("%s does not send", async (_, more) => {
    const { area, did } = await open();
    await write(area(), "こんにちは");
    expect(await press(area(), "Enter", more)).toBe(true);
    expect(did("send")).toEqual([]);
  });

  it("on a touch screen begins a line; the button sends", async () => {
    touch(true);
    const { area, place, did } = await open();
    await write(area(), "hello");
    expect(await press(area(), "Enter")).toBe(true);
    expect(did("send")).toEqual([]);
    await act(async () => place.querySelector("form")?.requestSubmit());
    expect(did("send")).toHaveLength(1);
  });

  it("leaves out what nobody sees and the server refuses, as a terminal's colours have it", async () => {
    const { area, did } = await open();
    await write(area(), "\x1b[31mred\x1b[0m\tand\nblack\x07");
    await press(area(), "Enter");
    expect(did("send")).toEqual([["c1", "[31mred[0m\tand\nblack", {}]]);
  });

  it.each(["", "   ", "\n\n", "\x07"])("sends nothing of %j", async (text) => {
    const { area, did } = await open();
    await write(area(), text);
    await press(area(), "Enter");
    expect(did("send")).toEqual([]);
  });
});

describe("the limit", () => {
  it("is said when it is near, and holds", async () => {
    const { area, place, did } = await open();
    await write(area(), "é".repeat(maxBytes / 2 - 5));
    expect(place.textContent).toContain("10 bytes left");
    await write(area(), "é".repeat(maxBytes / 2 + 1));
    expect(place.textContent).toContain("Too long by 2 bytes");
    expect(area().getAttribute("aria-invalid")).toBe("true");
    await press(area(), "Enter");
    expect(did("send")).toEqual([]);
  });
});

describe("a draft", () => {
  it("is what the line begins with, and is kept when writing pauses", async () => {
    vi.useFakeTimers();
    const { area, did } = await open({ draft: "half a" });
    expect(area().value).toBe("half a");
    await write(area(), "half a thought");
    expect(did("setDraft")).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(did("setDraft")).toEqual([["c1", "half a thought"]]);
  });

  it("is kept at once when the page is left, and gone at once when it is sent", async () => {
    const { area, did } = await open();
    await write(area(), "half");
    window.dispatchEvent(new Event("pagehide"));
    expect(did("setDraft")).toEqual([["c1", "half"]]);
    await press(area(), "Enter");
    expect(did("setDraft").at(-1)).toEqual(["c1", ""]);
  });

  it("comes back when the message can never be sent", async () => {
    const { area, chat } = await open();
    chat.send = () => Promise.reject(chatError({ code: "invalid_argument", message: "no" }));
    await write(area(), "hello");
    await press(area(), "Enter");
    expect(area().value).toBe("hello");
  });

  it("outlives an edit", async () => {
    const { area, turn } = await open();
    await write(area(), "half");
    await turn({ kind: "edit", message: stored });
    expect(area().value).toBe("the *original*");
    await turn({ kind: "new" });
    expect(area().value).toBe("half");
  });
});

describe("a reply and an edit", () => {
  it("say what they are about, and are sent as what they are", async () => {
    const { area, place, did, onDone, turn } = await open({ writing: { kind: "reply", message: stored } });
    expect(place.textContent).toContain("Reply to You");
    expect(place.textContent).toContain("the original");
    await write(area(), "yes");
    await press(area(), "Enter");
    expect(did("send")).toEqual([["c1", "yes", { replyTo: 7 }]]);
    await turn({ kind: "edit", message: stored });
    await write(area(), "changed ");
    await press(area(), "Enter");
    expect(did("edit")).toEqual([["c1", 7, "changed"]]);
    expect(onDone).toHaveBeenCalledTimes(2);
  });

  it("of nothing new is no edit", async () => {
    const { area, did, onDone } = await open({ writing: { kind: "edit", message: stored } });
    await press(area(), "Enter");
    expect(did("edit")).toEqual([]);
    expect(onDone).toHaveBeenCalledOnce();
  });

  it("that was refused stays to be mended", async () => {
    const { area, chat, onDone } = await open({ writing: { kind: "edit", message: stored } });
    chat.edit = () => Promise.reject(chatError({ code: "network", message: "no" }));
    await write(area(), "changed");
    await press(area(), "Enter");
    expect(area().value).toBe("changed");
    expect(onDone).not.toHaveBeenCalled();
  });

  it("ends with Escape or its button", async () => {
    const { area, place, onDone } = await open({ writing: { kind: "edit", message: stored } });
    await press(area(), "Escape");
    await click(named(place, "button", "Stop editing"));
    expect(onDone).toHaveBeenCalledTimes(2);
  });

  it("of the newest message begins with the arrow that leads to it, from an empty line only", async () => {
    const { area, onEditLast } = await open();
    await write(area(), "x");
    await press(area(), "ArrowUp");
    expect(onEditLast).not.toHaveBeenCalled();
    await write(area(), "");
    await press(area(), "ArrowUp");
    expect(onEditLast).toHaveBeenCalledOnce();
  });
});

it("typing is told while there is text", async () => {
  const { area, did } = await open();
  await write(area(), "a");
  await write(area(), "");
  expect(did("setTyping")).toEqual([
    ["c1", true],
    ["c1", false],
  ]);
});

it("an emoji goes where the caret is", async () => {
  const { area, handle } = await open({ draft: "ab" });
  // What browsers have for this is not in the test's document, as it may not be in a browser to come.
  Object.assign(document, { execCommand: () => false });
  area().setSelectionRange(1, 1);
  await act(async () => handle.current?.insert("🐸"));
  expect(area().value).toBe("a🐸b");
});

it("a reader learns why there is no line", async () => {
  const { place } = await open({ role: "reader" });
  expect(place.querySelector("textarea")).toBeNull();
  expect(place.textContent).toContain("not write");
});
