import type { Message, Timeline } from "@natterjack/client";
import { expect, it, vi } from "vitest";
import { chatError } from "../../../client/src/errors.ts";
import type { RowActions } from "../../src/conversation/actions.ts";
import { MessageRow } from "../../src/conversation/MessageRow.tsx";
import { click, draw, named, press } from "../draw.tsx";
import { fakeChat, message, user, Value } from "../fake.ts";

async function open(shown: Message, { original, writes = true }: { original?: Message; writes?: boolean } = {}) {
  const chat = fakeChat({ users: [user("u2", "Bob")] });
  const timeline = { message: () => new Value(original) } as Partial<Timeline> as Timeline;
  const actions: { [K in keyof RowActions]: ReturnType<typeof vi.fn<RowActions[K]>> } = {
    reply: vi.fn(),
    openMenu: vi.fn(),
    pickReaction: vi.fn(),
    react: vi.fn(),
    jumpTo: vi.fn(),
    retry: vi.fn(),
    discard: vi.fn(),
  };
  const { place } = await draw(
    chat,
    <MessageRow message={shown} {...{ timeline, actions }} group writes={writes} first last current lit={false} />,
  );
  return { place, actions, row: named(place, "article", /.*/) };
}

it("shows text that tries to be HTML as text", async () => {
  const evil = '<img src=x onerror="alert(1)"> <script>alert(1)</script> [x](javascript:alert(1)) **<b>b</b>**';
  const { place } = await open(message(evil));
  expect(place.querySelector("img, script, b, a")).toBeNull();
  expect(place.textContent).toContain(
    '<img src=x onerror="alert(1)"> <script>alert(1)</script> [x](javascript:alert(1)) <b>b</b>',
  );
});

it("leads links out without telling where from", async () => {
  const { place } = await open(message("see https://example.com/a"));
  const link = named<HTMLAnchorElement>(place, "a", "https://example.com/a");
  expect([link.target, link.rel, link.href]).toEqual(["_blank", "noopener noreferrer nofollow", "https://example.com/a"]);
});

it("is named by who, when and what", async () => {
  const { row } = await open(message("hello **there**", { editTime: 1 }));
  expect(row.getAttribute("aria-label")).toMatch(/^Bob, .+, hello there, edited$/);
});

it("opens its menu with Enter, but not with Enter on what is in it", async () => {
  const shown = message("see https://example.com/a");
  const { place, row, actions } = await open(shown);
  await press(named(place, "a", /example/), "Enter");
  expect(actions.openMenu).not.toHaveBeenCalled();
  await press(row, "Enter");
  expect(actions.openMenu).toHaveBeenCalledWith(shown, expect.any(Element));
});

it.each<[string, Partial<Message>]>([
  ["deleted", { deleted: true, content: "" }],
  ["not stored yet", { seq: 0, mine: true, delivery: "queued" }],
])("has no menu where it is %s", async (_, more) => {
  const { place, row, actions } = await open(message("x", more));
  await press(row, "Enter");
  expect(actions.openMenu).not.toHaveBeenCalled();
  expect(place.querySelector("[aria-haspopup]")).toBeNull();
});

it("says that it was deleted, and nothing of what it said", async () => {
  const { place } = await open(message("", { deleted: true, editTime: 1, replyTo: 3, mine: true, delivery: "read" }));
  expect(place.textContent).toMatch(/^This message was deleted\d/);
});

it("adds one's own reaction with a press, and takes it back with another", async () => {
  const reactions = [
    { emoji: "👍", userIds: ["u2", "u1"], mine: true },
    { emoji: "🎉", userIds: ["u2"], mine: false },
  ];
  const shown = message("x", { reactions });
  const { place, actions } = await open(shown);
  const [mine, other] = [named(place, "button", "👍 2 reactions"), named(place, "button", "🎉 1 reaction")];
  expect([mine.getAttribute("aria-pressed"), other.getAttribute("aria-pressed")]).toEqual(["true", "false"]);
  await click(mine);
  await click(other);
  expect(actions.react.mock.calls).toEqual([
    [shown, "👍", false],
    [shown, "🎉", true],
  ]);
});

it("offers a reader nothing that the server would refuse, and still shows who reacted", async () => {
  const shown = message("x", { reactions: [{ emoji: "👍", userIds: ["u2"], mine: false }] });
  const { place, row, actions } = await open(shown, { writes: false });
  const chip = named(place, "button", "👍 1 reaction");
  await click(chip);
  expect(actions.react).not.toHaveBeenCalled();
  expect(chip.getAttribute("aria-disabled")).toBe("true");
  const others = [...place.querySelectorAll("button")].filter((button) => button !== chip);
  expect(others.map((button) => button.getAttribute("aria-label"))).toEqual(["More"]);
  await press(row, "Enter");
  expect(actions.openMenu).toHaveBeenCalledWith(shown, expect.any(Element));
});

it("shows what it answers, and leads there", async () => {
  const { place, actions } = await open(message("yes", { replyTo: 3 }), { original: message("was it *you*?", { seq: 3 }) });
  await click(named(place, "button", "Bobwas it you?"));
  expect(actions.jumpTo).toHaveBeenCalledWith(3);
});

it("that failed says why, and can be tried again or given up", async () => {
  const error = chatError({ code: "permission_denied", message: "you may not write here" });
  const shown = message("x", { seq: 0, mine: true, delivery: "failed", error });
  const { place, actions } = await open(shown);
  expect(place.textContent).toContain("Not sent. You may not write here.");
  await click(named(place, "button", "Try again"));
  await click(named(place, "button", "Discard"));
  expect(actions.retry).toHaveBeenCalledWith(shown);
  expect(actions.discard).toHaveBeenCalledWith(shown);
});
