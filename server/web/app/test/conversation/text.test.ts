import { describe, expect, it } from "vitest";
import { emojiCount } from "../../src/conversation/text/emoji.ts";
import { findLinks, safeHref } from "../../src/conversation/text/links.ts";
import { type Block, type Inline, inline, parse, plainText } from "../../src/conversation/text/parse.ts";

const bold = (...children: Inline[]): Inline => ({ kind: "bold", children });
const italic = (...children: Inline[]): Inline => ({ kind: "italic", children });
const strike = (...children: Inline[]): Inline => ({ kind: "strike", children });
const code = (text: string): Inline => ({ kind: "code", text });
const link = (text: string, href = text): Inline => ({ kind: "link", href, text });

describe("inline marks", () => {
  it.each<[string, Inline[]]>([
    ["plain", ["plain"]],
    ["a **b** c", ["a ", bold("b"), " c"]],
    ["a *b* c", ["a ", italic("b"), " c"]],
    ["a _b_ c", ["a ", italic("b"), " c"]],
    ["a ~~b~~ c", ["a ", strike("b"), " c"]],
    ["***b***", [bold(italic("b"))]],
    ["**a *b* ~~c~~**", [bold("a ", italic("b"), " ", strike("c"))]],
    ["*a **b***", [italic("a ", bold("b"))]],
    ["**a `*` b**", [bold("a ", code("*"), " b")]],
    ["so**fort**ig", ["so", bold("fort"), "ig"]],
    ["你好**世界**吗", ["你好", bold("世界"), "吗"]],
    // What does not pair, or is part of a word, stays.
    ["2*3*4 = 24", ["2*3*4 = 24"]],
    ["snake_case_name", ["snake_case_name"]],
    ["__init__", ["__init__"]],
    ["a ** b ** c", ["a ** b ** c"]],
    ["**open", ["**open"]],
    ["close**", ["close**"]],
    ["**a *b** c*", [bold("a *b"), " c*"]],
    ["****", ["****"]],
    ["~a~", ["~a~"]],
    ["\\o/ *waves*", ["\\o/ ", italic("waves")]],
    ["*a_ b", ["*a_ b"]],
  ])("%s", (source, want) => expect(inline(source)).toEqual(want));

  it.each<[string, Inline[]]>([
    ["`a`", [code("a")]],
    ["``a`b``", [code("a`b")]],
    ["`` `a` ``", [code("`a`")]],
    ["`open", ["`open"]],
    ["`a``", ["`a``"]],
    ["` `", ["` `"]],
    ["`https://a.b`", [code("https://a.b")]],
    ["`**a**`", [code("**a**")]],
  ])("code: %s", (source, want) => expect(inline(source)).toEqual(want));

  it.each<[string, Inline[]]>([
    ["see https://a.example/x_y_z.", ["see ", link("https://a.example/x_y_z"), "."]],
    ["(https://w.example/A_(b))", ["(", link("https://w.example/A_(b)"), ")"]],
    ["**https://a.example/**", [bold(link("https://a.example/"))]],
    ["example.com", [link("example.com", "http://example.com/")]],
    ["ada@example.com", [link("ada@example.com", "mailto:ada@example.com")]],
  ])("link: %s", (source, want) => expect(inline(source)).toEqual(want));
});

describe("blocks", () => {
  it.each<[string, Block[]]>([
    ["a\nb", [{ kind: "text", children: ["a\nb"] }]],
    ["a\n\nb", [{ kind: "text", children: ["a\n\nb"] }]],
    [
      "> a\n> b\nc",
      [
        { kind: "quote", children: ["a\nb"] },
        { kind: "text", children: ["c"] },
      ],
    ],
    [">:( no", [{ kind: "text", children: [">:( no"] }]],
    [
      "x\n```go\na **b**\n\nc\n```\ny",
      [
        { kind: "text", children: ["x"] },
        { kind: "code", language: "go", text: "a **b**\n\nc" },
        { kind: "text", children: ["y"] },
      ],
    ],
    ["```\nopen", [{ kind: "code", language: "", text: "open" }]],
    ["```", [{ kind: "code", language: "", text: "" }]],
    ["```one line```", [{ kind: "text", children: [code("one line")] }]],
    [
      "> a\n\n\nb",
      [
        { kind: "quote", children: ["a"] },
        { kind: "text", children: ["b"] },
      ],
    ],
    ["", []],
  ])("%j", (source, want) => expect(parse(source)).toEqual(want));

  it("gives the text without marks", () => {
    expect(plainText(parse("**Hi** `x`\n> see https://a.example\n```go\nf()\n```"))).toBe("Hi x\nsee https://a.example\nf()");
  });
});

describe("links", () => {
  it.each([
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ftp://a.com",
    "//a.com/x",
    "vbscript:x",
    "readme.md",
    "main.rs",
    "1.2.3",
  ])("does not link %s", (text) => expect(findLinks(text)).toEqual([]));

  it.each(["javascript:alert(1)", " JavaScript:alert(1)", "java\nscript:alert(1)", "data:,x", "blob:https://a/b", "", "no url"])(
    "refuses %j",
    (url) => expect(safeHref(url)).toBeUndefined(),
  );
});

describe("emoji", () => {
  it.each<[string, number]>([
    ["👍", 1],
    ["👍🏽 🎉", 2],
    ["👩‍👩‍👧‍👦", 1],
    ["🏴󠁧󠁢󠁳󠁣󠁴󠁿🇩🇪", 2],
    ["❤️", 1],
    ["❤️‍🔥", 1],
    ["1️⃣", 1],
    ["😀".repeat(12), 12],
    ["😀".repeat(13), 0],
    ["ok 👍", 0],
    ["123", 0],
    ["©", 0],
    ["", 0],
    [" ", 0],
    ["\u200D", 0],
  ])("%j has %d", (text, want) => expect(emojiCount(text)).toBe(want));
});

// Properties ------------------------------------------------------------------------------------------------------------------------------------

const marks = /[*_~`>\s]/g;
const pieces = [
  "*",
  "**",
  "***",
  "_",
  "~~",
  "`",
  "``",
  "```",
  "```go",
  "> ",
  ">",
  "\n",
  " ",
  "a",
  "word",
  "https://a.example/_x_",
  "b@c.com",
  "é",
  "مرحبا",
  "👩‍👧",
  "\ud800",
  "\u202e",
  "<b>",
  "\0",
];

/** Small numbers that look random and are the same on every run (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

function everything(blocks: readonly Block[]): string {
  const text = (list: readonly Inline[]): string =>
    list.map((one) => (typeof one === "string" ? one : "text" in one ? one.text : text(one.children))).join("");
  return blocks.map((one) => (one.kind === "code" ? one.language + one.text : text(one.children))).join("");
}

describe("any text", () => {
  it("keeps every character that is no mark, in order, and leads only where it may", () => {
    for (let seed = 0; seed < 3000; seed++) {
      const next = random(seed);
      const source = Array.from({ length: next(25) }, () => pieces[next(pieces.length)]).join("");
      const blocks = parse(source);
      expect(everything(blocks).replace(marks, ""), JSON.stringify(source)).toBe(source.replace(marks, ""));
      expect(JSON.stringify(blocks)).not.toMatch(/"href":"(?!https?:|mailto:)/);
    }
  });

  // A parser that is quadratic in any of these would need minutes for 200,000 characters, and the test would run out of time.
  it.each([
    "*a ",
    "**a",
    "***",
    "_a",
    "~~a ",
    "`",
    "`a``",
    "` `` ",
    "```\n",
    "> ",
    ">\n",
    "\n",
    " ",
    "*",
    "~",
    "_",
    "http://a.b/*****",
    "😀x",
    "[(",
    "http://",
    "a.",
    "a@",
    "www.",
    "**a *b ~~c ",
  ])(
    "200,000 characters of %j are read in time that grows with their number",
    (unit) => {
      const source = unit.repeat(200_000 / unit.length);
      expect(parse(source).length).toBeGreaterThanOrEqual(0);
      expect(parse(`a${source}b`).length).toBeGreaterThanOrEqual(1);
      expect(emojiCount(source)).toBe(0);
    },
    20_000,
  );
});
