import type { Message, TimelineState } from "@natterjack/client";
import { expect, it } from "vitest";
import { NewMessages } from "../../src/conversation/NewMessages.tsx";
import { draw } from "../draw.tsx";
import { fakeChat, message, user } from "../fake.ts";

const state = (messages: readonly Message[], hasNewer = false): TimelineState => ({
  messages,
  hasOlder: false,
  hasNewer,
  loading: "none",
  openedReadSeq: 0,
});
const numbered = (seq: number, more: Partial<Message> = {}) => message(`text ${seq}`, { seq, key: `k${seq}`, ...more });
const upTo = (last: number) => Array.from({ length: last }, (_, at) => numbered(at + 1));

async function open(messages: readonly Message[]) {
  const { place, again } = await draw(fakeChat({ users: [user("u2", "Bob")] }), <NewMessages state={state(messages)} />);
  const live = place.querySelector("[aria-live=polite]");
  return { said: () => live?.textContent, show: (next: TimelineState) => again(<NewMessages state={next} />) };
}

it("says who wrote what, of what comes after it was opened", async () => {
  const { said, show } = await open(upTo(2));
  expect(said()).toBe("");
  await show(state(upTo(4)));
  expect(said()).toBe("Bob: text 3. Bob: text 4");
});

it("counts many", async () => {
  const { said, show } = await open(upTo(2));
  await show(state(upTo(9)));
  expect(said()).toBe("7 new messages");
});

it("says nothing of one's own, of older ones that are loaded, or of where one has jumped to", async () => {
  const { said, show } = await open([numbered(5)]);
  await show(state([numbered(5), numbered(6, { mine: true })]));
  await show(state([...upTo(4), numbered(5), numbered(6, { mine: true })]));
  await show(state([numbered(50), numbered(51)], true));
  expect(said()).toBe("");
});
