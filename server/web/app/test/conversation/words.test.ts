import type { Message, User } from "@natterjack/client";
import { describe, expect, it } from "vitest";
import { bytesOf, maxBytes } from "../../src/conversation/limit.ts";
import { dayName, messageLabel, names, typingLine } from "../../src/conversation/words.ts";

const now = new Date(2026, 4, 6, 12, 0).getTime(); // a Wednesday
const day = 86_400_000;
const user = (displayName: string): User => ({ id: displayName, username: displayName, displayName, avatarUrl: "" });
const bare = (text: string) => text.replace(/[\u2068\u2069]/g, "");

function message(over: Partial<Message>): Message {
  const base = { key: "k", conversationId: "c", seq: 1, senderId: "ada", content: "hi", time: now };
  return { ...base, deleted: false, replyTo: 0, reactions: [], mine: false, ...over };
}

describe("days", () => {
  it.each<[number, RegExp]>([
    [now - 11 * 3_600_000, /^Today$/],
    [now - 13 * 3_600_000, /^Yesterday$/],
    [now - 6 * day, /^Thursday$/],
    [now - 7 * day, /29/],
    [now - 400 * day, /2025/],
    [now + 2 * day, /8/],
  ])("%d", (time, want) => expect(dayName(time, now)).toMatch(want));
});

describe("people", () => {
  it("type", () => {
    expect(typingLine([])).toBe("");
    expect(bare(typingLine([user("Ada")]))).toBe("Ada is typing");
    expect(bare(typingLine([user("Ada"), user("Bob")]))).toBe("Ada and Bob are typing");
    expect(typingLine(["a", "b", "c", "d"].map(user))).toBe("4 people are typing");
  });
  it("are named, and the rest counted", () => expect(bare(names(["a", "b", "c"], 2))).toBe("a, b, and 1 more"));
  it("are isolated from the words around them", () => expect(names(["שלום"])).toBe("\u2068שלום\u2069"));
});

describe("a message", () => {
  it("is read out with who, when, what and how far it came", () => {
    const label = messageLabel(
      message({ mine: true, delivery: "read", reactions: [{ emoji: "👍", userIds: ["a", "b"], mine: false }] }),
      "Ada",
      true,
    );
    expect(label).toMatch(/^You, .*, hi, edited, 👍 2, Read$/);
  });
});

describe("the limit", () => {
  it("counts bytes where it matters", () => {
    expect(bytesOf("é".repeat(9000))).toBe(18_000);
    expect(bytesOf("a".repeat(maxBytes))).toBe(maxBytes);
    expect(bytesOf("abc")).toBe(3);
  });
});
