import { expect, it } from "vitest";
import { preview } from "../../src/conversation/text/preview.ts";
import { message } from "../fake.ts";

const family = "👩‍👩‍👧‍👦";

it.each<[string, string, string]>([
  ["several lines as one", "one\n\n  two", "one two"],
  ["no marks", "**a** _b_ ~~c~~ `d`\n> e\n```go\nf\n```", "a b c d e f"],
  ["marks that don't pair as they were written", "2 * 3 = **6", "2 * 3 = **6"],
  ["marks where there is nothing else", "```\n```", "``` ```"],
  ["addresses", "see https://example.com/a_b_c", "see https://example.com/a_b_c"],
  ["all of a text that is short enough", "😀".repeat(70), "😀".repeat(70)],
  ["the beginning of a longer one, cut between characters", family.repeat(30), `${family.repeat(12)}…`],
])("shows %s", (_, content, want) => {
  expect(preview(message(content))).toBe(want);
});

it("bounds what it shows, and reads", () => {
  expect(preview(message("x".repeat(16_000)))).toBe(`${"x".repeat(140)}…`);
});

it("says nothing of what a deleted message said", () => {
  expect(preview(message("gone", { deleted: true }))).toBe("Deleted message");
});
