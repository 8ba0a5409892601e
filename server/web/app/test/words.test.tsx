import { describe, expect, it } from "vitest";
import { ago, count, presenceText, shortTime } from "../src/format.ts";
import { mayChange, mayGive, sorted } from "../src/group/roles.ts";
import { byline } from "../src/list/byline.ts";
import { ConversationRow } from "../src/list/ConversationRow.tsx";
import { asPrefix, excerpt, matches } from "../src/list/match.ts";
import { noticeOf } from "../src/notify.ts";
import { titleOf } from "../src/Title.tsx";
import { hueOf, initials } from "../src/ui/initials.ts";
import { draw } from "./draw.tsx";
import { conversation, fakeChat, message, user } from "./fake.ts";

describe("times", () => {
  const now = new Date(2026, 6, 15, 14, 30).getTime();
  const at = (...when: [number, number, number, number, number]) => new Date(...when).getTime();

  it.each([
    ["a time today", at(2026, 6, 15, 9, 5), /9:05/],
    ["yesterday, though less than a day ago", at(2026, 6, 14, 23, 59), /^Yesterday$/],
    ["the weekday within a week", at(2026, 6, 9, 12, 0), /^Thu$/],
    ["the day within the year", at(2026, 6, 8, 12, 0), /^Jul 8$/],
    ["the date before that", at(2025, 6, 15, 12, 0), /2025/],
    ["a time where the clock of the server is ahead", at(2026, 6, 16, 0, 10), /12:10/],
  ])("are told as %s", (_, time, text) => {
    expect(shortTime(time, now)).toMatch(text);
  });

  it.each([
    [0, "just now"],
    [59_000, "just now"],
    [60_000, "1 min ago"],
    [3_599_000, "59 min ago"],
    [3_600_000, "1 h ago"],
  ])("%d ms ago are told as %s", (past, text) => {
    expect(ago(now - past, now)).toBe(text);
  });

  it("tells where somebody is, as far as it is known", () => {
    expect(presenceText({ state: "online" }, now)).toBe("Online");
    expect(presenceText({ state: "offline", lastSeenTime: now - 120_000 }, now)).toBe("Last seen 2 min ago");
    expect(presenceText({ state: "offline" }, now)).toBe("Offline");
    expect(presenceText({ state: "unknown" }, now)).toBeUndefined();
  });

  it("counts in words", () => {
    expect([count(0, "member"), count(1, "member"), count(2, "member")]).toEqual(["0 members", "1 member", "2 members"]);
  });
});

describe("finding", () => {
  it.each([
    ["edith", ["Édith Piaf"], true],
    ["pia éd", ["Édith Piaf"], true],
    ["dith", ["Édith Piaf"], false],
    ["edith hopper", ["Édith Piaf", "hopper"], true],
    ["STRASSE", ["Strasse"], true],
    ["王", ["王小明"], true],
    ["!?", ["!?"], false],
    ["", ["anything"], false],
  ])("%j in %j: %s", (query, texts, found) => {
    expect(matches(query, ...texts)).toBe(found);
  });

  it("lets the server go on with a word that is still being written", () => {
    expect([asPrefix("hello wor"), asPrefix("hello "), asPrefix("wor*")]).toEqual(["hello wor*", "hello ", "wor*"]);
    expect(asPrefix("x".repeat(1000))).toHaveLength(256);
  });

  it("marks what was found, and loses nothing of the text", () => {
    const pieces = excerpt("The pond, the Ponds; a despondent toad", "pond");
    expect(pieces.filter((p) => p.found).map((p) => p.text)).toEqual(["pond", "Ponds"]);
    expect(pieces.map((p) => p.text).join("")).toBe("The pond, the Ponds; a despondent toad");
  });

  it("begins shortly before what was found", () => {
    const [first, ...rest] = excerpt(`${"word ".repeat(100)}pond ${"word ".repeat(200)}`, "pond");
    expect(first?.text).toBe("…");
    expect(rest.map((p) => p.text).join("")).toMatch(/^(word ){1,8}pond word/);
    expect(rest.map((p) => p.text).join("").length).toBeLessThanOrEqual(240);
  });

  it("shows the beginning where nothing is found, and a word without an end", () => {
    expect(excerpt("hello", "other")).toEqual([{ text: "hello", found: false }]);
    expect(excerpt("x".repeat(1000), "y")).toEqual([{ text: "x".repeat(240), found: false }]);
  });
});

describe("initials", () => {
  it.each([
    ["Ada Lovelace", "AL"],
    ["Ada King Lovelace", "AL"],
    ["ada", "A"],
    ["  José ", "J"],
    ["é́dith", "É́"],
    ["🦊 Fox", "🦊"],
    ["👩‍👩‍👧 family", "👩‍👩‍👧"],
    ["(the) Toad", "TT"],
    ["王小明", "王"],
    ["…", "?"],
    ["", ""],
  ])("of %j are %j", (name, text) => {
    expect(initials(name)).toBe(text);
  });

  it("keep their colour", () => {
    expect(hueOf("u1")).toBe(hueOf("u1"));
    const hues = new Set(Array.from({ length: 200 }, (_, i) => hueOf(`user-${i}`)));
    expect([...hues].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe("the line below a title", () => {
  it("has the words of the newest message, without marks", async () => {
    const c = conversation("c1", "Pond", { lastMessage: message("The **release** is `out`:\nhttps://example.com") });
    const { place } = await draw(
      fakeChat({ conversations: [c] }),
      <ConversationRow conversation={c} to="/c/c1" current={false} />,
    );
    expect(place.textContent).toContain("The release is out: https://example.com");
  });

  it.each([
    ["group", "Ada and Bob are typing"],
    ["direct", "Typing…"],
  ] as const)("says who types in a %s conversation", async (kind, words) => {
    const c = conversation("c1", "Pond", { kind, lastMessage: message("hello") });
    const chat = fakeChat({ conversations: [c], typing: { c1: [user("u2", "Ada"), user("u3", "Bob")] } });
    const { place } = await draw(chat, <ConversationRow conversation={c} to="/c/c1" current={false} />);
    expect(place.textContent?.replace(/[\u2068\u2069]/g, "")).toContain(words);
    expect(place.textContent).not.toContain("hello");
  });

  it("tells of the other's presence beside the name, where they are there", async () => {
    const peer = user("u2", "Bob");
    const c = conversation("c1", "Bob", { kind: "direct", peer });
    const chat = fakeChat({ conversations: [c], presences: { u2: { state: "away" } } });
    const { place } = await draw(chat, <ConversationRow conversation={c} to="/c/c1" current={false} />);
    expect(place.textContent).toContain("Bob, Away");
  });

  it("says how far one's own message has come", async () => {
    const c = conversation("c1", "Pond", { lastMessage: message("hello", { mine: true, delivery: "read" }) });
    const chat = fakeChat({ conversations: [c] });
    const { place } = await draw(chat, <ConversationRow conversation={c} to="/c/c1" current={false} />);
    expect(place.textContent).toContain("Read. You: hello");
  });

  it("names who wrote only where that is a question", () => {
    const hello = message("hello");
    expect(byline(conversation("c", "T", { lastMessage: hello }), "Grace Hopper")).toBe("Grace");
    expect(byline(conversation("c", "T", { lastMessage: hello }), undefined)).toBeUndefined();
    expect(byline(conversation("c", "T", { kind: "direct", lastMessage: hello }), "Grace Hopper")).toBeUndefined();
    expect(byline(conversation("c", "T", { kind: "direct", lastMessage: message("x", { mine: true }) }), undefined)).toBe("You");
    expect(byline(conversation("c", "T"), undefined)).toBeUndefined();
  });

  it("is what a notification says", () => {
    expect(noticeOf(message("**hello**"), conversation("c 1", "Pond"), "Grace")).toEqual({
      kind: "notice",
      title: "Pond",
      body: "Grace: hello",
      tag: "c 1",
      path: "/c/c%201",
    });
    expect(noticeOf(message("hello"), conversation("c", "Grace", { kind: "direct" }), "Grace").body).toBe("hello");
  });
});

describe("the tab's name", () => {
  it("tells what is open and how much is unread", () => {
    expect(titleOf(0, undefined)).toBe("Natterjack");
    expect(titleOf(3, "Pond")).toBe("(3) Pond · Natterjack");
  });
});

describe("roles", () => {
  it("let nobody give or take what is above them", () => {
    expect(mayGive("owner")).toEqual(["reader", "member", "admin", "owner"]);
    expect(mayGive("admin")).toEqual(["reader", "member"]);
    expect(mayGive("member")).toEqual([]);
    expect(mayGive("reader")).toEqual([]);
    expect(mayChange("admin", "member")).toBe(true);
    expect(mayChange("admin", "admin")).toBe(false);
    expect(mayChange("owner", "owner")).toBe(true);
    expect(mayChange("member", "reader")).toBe(false);
  });

  it("come in order of what they may, then of names", () => {
    const members = [
      { user: user("1", "Zoe"), role: "member" },
      { user: user("2", "Bo"), role: "owner" },
      { user: user("3", "Al"), role: "member" },
      { user: user("4", "Cy"), role: "reader" },
    ] as const;
    expect(sorted(members).map((m) => m.user.displayName)).toEqual(["Bo", "Al", "Zoe", "Cy"]);
    expect(members[0].user.displayName).toBe("Zoe");
  });
});
