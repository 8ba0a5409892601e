import type { Conversation, Message } from "@natterjack/client";
import { beforeAll, expect, it, vi } from "vitest";
import MessageMenu from "../../src/conversation/MessageMenu.tsx";
import { click, draw, named, press } from "../draw.tsx";
import { conversation, fakeChat, message } from "../fake.ts";

beforeAll(() => {
  // The test's document has no popovers.
  Object.assign(HTMLElement.prototype, { showPopover() {}, hidePopover() {} });
});

async function open(where: Partial<Conversation>, what: Partial<Message>) {
  const on = {
    onClose: vi.fn(),
    onReact: vi.fn(),
    onPickReaction: vi.fn(),
    onReply: vi.fn(),
    onEdit: vi.fn(),
    onDelete: vi.fn(),
    onInfo: vi.fn(),
  };
  const at = new DOMPointReadOnly();
  const { place } = await draw(
    fakeChat(),
    <MessageMenu conversation={conversation("c1", "Ponds", where)} message={message("x", what)} {...{ at, ...on }} />,
  );
  const labels = [...place.querySelectorAll("[role=menuitem]")].map((item) => item.textContent);
  return { place, labels, ...on };
}

it.each<[string, Partial<Conversation>, Partial<Message>, string[]]>([
  ["one's own", {}, { mine: true }, ["More reactions…", "Reply", "Edit", "Copy text", "Info", "Delete…"]],
  ["of somebody else", {}, {}, ["More reactions…", "Reply", "Copy text", "Info"]],
  ["of somebody else, for an admin", { role: "admin" }, {}, ["More reactions…", "Reply", "Copy text", "Info", "Delete…"]],
  [
    "of the other, who is no member of a group that one owns",
    { kind: "direct", role: "owner" },
    {},
    ["More reactions…", "Reply", "Copy text", "Info"],
  ],
  ["in a group that one only reads", { role: "reader" }, {}, ["Copy text", "Info"]],
  ["one's own, in a group that one only reads by now", { role: "reader" }, { mine: true }, ["Copy text", "Info"]],
])("offers what may be done with a message %s", async (_, where, what, want) => {
  expect((await open(where, what)).labels).toEqual(want);
});

it("turns a usual reaction on, or off where it is one's own", async () => {
  const { place, onReact } = await open({}, { reactions: [{ emoji: "👍", userIds: ["u1"], mine: true }] });
  await click(named(place, "[role=menuitemcheckbox]", "React with 👍"));
  await click(named(place, "[role=menuitemcheckbox]", "React with 🎉"));
  expect(onReact.mock.calls).toEqual([
    ["👍", false],
    ["🎉", true],
  ]);
});

it("begins at its first item, and arrow keys lead to the usual reactions too", async () => {
  const { place } = await open({}, {});
  const now = () => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent;
  expect(now()).toBe("More reactions…");
  const steps: [string, string][] = [
    ["ArrowUp", "React with 🎉"],
    ["ArrowLeft", "React with 😢"],
    ["ArrowRight", "React with 🎉"],
    ["ArrowDown", "More reactions…"],
    ["Home", "React with 👍"],
    ["ArrowUp", "Info"],
    ["ArrowDown", "React with 👍"],
  ];
  const menu = named(place, "[role=menu]", "Message");
  for (const [key, reached] of steps) {
    await press(menu, key);
    expect(now()).toBe(reached);
  }
});
