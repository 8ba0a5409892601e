/**
 * Markdown-light: what people type in a chat, and nothing that could surprise them. Blocks are ``` code, `> ` quotes and text; inside text there are `code`,
 * **bold**, *italic* or _italic_, ~~strike~~ and links. Marks that don't pair stay as they were written. No text makes it fail, and its time grows with the
 * length of the text only: every mark is opened once and closed once, and nothing nests deeper than there are kinds of marks.
 */

import { findLinks } from "./links.ts";

/** A piece of a line. A string is text as it is. */
export type Inline =
  | string
  | { readonly kind: "bold" | "italic" | "strike"; readonly children: readonly Inline[] }
  | { readonly kind: "code"; readonly text: string }
  | { readonly kind: "link"; readonly href: string; readonly text: string };

/** A piece of a message, in order from its top. Line feeds inside `children` and `text` are line breaks. */
export type Block =
  | { readonly kind: "text" | "quote"; readonly children: readonly Inline[] }
  | { readonly kind: "code"; readonly language: string; readonly text: string };

/** Parses a whole message. */
export function parse(source: string): Block[] {
  const blocks: Block[] = [];
  const lines = source.split("\n");
  for (let at = 0; at < lines.length; ) {
    const fence = fenceOf(lines[at] as string);
    const end = fence !== undefined ? endOfCode(lines, at) : endOfRun(lines, at);
    const piece = lines.slice(at, end);
    if (fence !== undefined) blocks.push({ kind: "code", language: fence, text: codeOf(piece) });
    else if (isQuote(lines[at] as string))
      blocks.push({ kind: "quote", children: inline(piece.map(withoutQuoteMark).join("\n")) });
    else pushText(blocks, piece.join("\n"));
    at = end;
  }
  return blocks;
}

/** The text without its marks, for a line of preview and for screen readers. */
export function plainText(blocks: readonly Block[]): string {
  return blocks.map((block) => (block.kind === "code" ? block.text : plainInline(block.children))).join("\n");
}

function plainInline(pieces: readonly Inline[]): string {
  let text = "";
  for (const piece of pieces)
    text += typeof piece === "string" ? piece : "text" in piece ? piece.text : plainInline(piece.children);
  return text;
}

/** The language after an opening fence (often empty), or undefined where the line is none. */
function fenceOf(line: string): string | undefined {
  if (!line.startsWith("```")) return undefined;
  const info = line.slice(3).trim();
  return info.includes("`") ? undefined : info;
}

function isQuote(line: string): boolean {
  // ">:(" and ">.<" are faces.
  return line.startsWith("> ") || line === ">";
}

function withoutQuoteMark(line: string): string {
  return line.slice(2);
}

/** The line after the closing fence; an open block reaches to the end, as while it is being typed. */
function endOfCode(lines: readonly string[], start: number): number {
  for (let at = start + 1; at < lines.length; at++) if ((lines[at] as string).trimEnd() === "```") return at + 1;
  return lines.length;
}

function codeOf(piece: readonly string[]): string {
  const closed = piece.length > 1 && piece[piece.length - 1]?.trimEnd() === "```";
  return piece.slice(1, closed ? -1 : undefined).join("\n");
}

/** The end of the lines that are all quoted or all text. */
function endOfRun(lines: readonly string[], start: number): number {
  const quoted = isQuote(lines[start] as string);
  let at = start + 1;
  while (at < lines.length && isQuote(lines[at] as string) === quoted && fenceOf(lines[at] as string) === undefined) at++;
  return at;
}

function pushText(blocks: Block[], text: string): void {
  // Empty lines next to another block would only double its distance.
  if (text.trim() === "") return;
  let from = 0;
  let to = text.length;
  while (text[from] === "\n") from++;
  while (text[to - 1] === "\n") to--;
  blocks.push({ kind: "text", children: inline(text.slice(from, to)) });
}

// Inline --------------------------------------------------------------------------------------------------------------------------------------------

type MarkKind = "bold" | "italic" | "strike";

type Token = { readonly text: string } | { readonly atom: Inline } | { readonly marks: readonly Mark[] };

/** A mark that may open, close, or both. */
interface Mark {
  readonly mark: string;
  readonly kind: MarkKind;
  readonly opens: boolean;
  readonly closes: boolean;
}

/** Parses what stands inside a block. */
export function inline(text: string): Inline[] {
  return pair(tokens(text));
}

function tokens(text: string): Token[] {
  const out: Token[] = [];
  let from = 0;
  for (const atom of atoms(text)) {
    pushMarks(out, text, from, atom.start);
    out.push({ atom: atom.value });
    from = atom.end;
  }
  pushMarks(out, text, from, text.length);
  return out;
}

interface Atom {
  readonly start: number;
  readonly end: number;
  readonly value: Inline;
}

/** Code and links: what is inside them is no mark. Code goes first, as it may hold an address. */
function atoms(text: string): Atom[] {
  const codes = codeSpans(text);
  const out: Atom[] = [];
  let from = 0;
  const links = (to: number) => {
    for (const { start, end, href } of findLinks(text.slice(from, to)))
      out.push({
        start: from + start,
        end: from + end,
        value: { kind: "link", href, text: text.slice(from + start, from + end) },
      });
  };
  for (const code of codes) {
    links(code.start);
    out.push(code);
    from = code.end;
  }
  links(text.length);
  return out;
}

/** Spans between two runs of equally many backticks, from the left. */
function codeSpans(text: string): Atom[] {
  const runs = [...text.matchAll(/`+/g)].map((run) => ({ start: run.index, length: run[0].length }));
  const next = followers(runs);
  const out: Atom[] = [];
  for (let at = 0; at < runs.length; at++) {
    const open = runs[at] as Run;
    const closeAt = next[at];
    if (closeAt === undefined) continue;
    const close = runs[closeAt] as Run;
    const inside = text.slice(open.start + open.length, close.start);
    if (inside.trim() !== "") {
      out.push({ start: open.start, end: close.start + close.length, value: { kind: "code", text: unpadded(inside) } });
      at = closeAt;
    }
  }
  return out;
}

interface Run {
  readonly start: number;
  readonly length: number;
}

/** For each run the next one of the same length. */
function followers(runs: readonly Run[]): (number | undefined)[] {
  const seen = new Map<number, number>();
  const next: (number | undefined)[] = new Array(runs.length);
  for (let at = runs.length - 1; at >= 0; at--) {
    const { length } = runs[at] as Run;
    next[at] = seen.get(length);
    seen.set(length, at);
  }
  return next;
}

/** Without the one space on both sides that lets code begin or end with a backtick. */
function unpadded(code: string): string {
  return code.startsWith(" ") && code.endsWith(" ") ? code.slice(1, -1) : code;
}

const space = /\s/u;
const word = /[\p{L}\p{N}_]/u;

function pushMarks(out: Token[], text: string, start: number, end: number): void {
  let from = start;
  for (const { 0: run, index } of text.slice(start, end).matchAll(/\*+|_+|~+/g)) {
    const at = start + index;
    const marks = marksOf(run, before(text, at), after(text, at + run.length));
    if (marks.length === 0) continue;
    if (at > from) out.push({ text: text.slice(from, at) });
    out.push({ marks });
    from = at + run.length;
  }
  if (end > from) out.push({ text: text.slice(from, end) });
}

/** What a run of mark characters can mean between these two characters; at most two marks, none where it is only text. */
function marksOf(run: string, left: string, right: string): Mark[] {
  const tight = { opens: right !== "" && !space.test(right), closes: left !== "" && !space.test(left) };
  // One star or underscore inside a word is part of it: 2*3*4, snake_case.
  const single = { opens: tight.opens && !word.test(left), closes: tight.closes && !word.test(right) };
  const bold: Mark = { mark: "**", kind: "bold", ...tight };
  const italic: Mark = { mark: run[0] as string, kind: "italic", ...single };
  switch (run) {
    case "~~":
      return [{ mark: run, kind: "strike", ...tight }];
    case "**":
      return [bold];
    case "*":
    case "_":
      return [italic];
    case "***":
      return [bold, italic];
    default:
      return [];
  }
}

function before(text: string, at: number): string {
  if (at === 0) return "";
  const low = text.charCodeAt(at - 1);
  return low >= 0xdc00 && low < 0xe000 && at > 1 ? text.slice(at - 2, at) : text.slice(at - 1, at);
}

function after(text: string, at: number): string {
  return at < text.length ? String.fromCodePoint(text.codePointAt(at) as number) : "";
}

/** An open mark with what follows it. The outermost has no mark. */
interface Frame {
  readonly mark?: Mark;
  readonly children: Inline[];
}

function pair(all: readonly Token[]): Inline[] {
  // A kind that is open is not opened again, so that there are at most four frames and looking through them costs nothing.
  const frames: Frame[] = [{ children: [] }];
  for (const token of all) {
    if ("marks" in token) for (const mark of ordered(token.marks, frames)) pushMark(frames, mark);
    else push(top(frames).children, "text" in token ? token.text : token.atom);
  }
  while (frames.length > 1) unmark(frames);
  return top(frames).children;
}

/** Of ***, what was opened last is closed first. */
function ordered(marks: readonly Mark[], frames: readonly Frame[]): readonly Mark[] {
  return top(frames).mark?.kind === "italic" ? marks.toReversed() : marks;
}

function pushMark(frames: Frame[], mark: Mark): void {
  const open = frames.findIndex((frame) => frame.mark?.mark === mark.mark);
  if (mark.closes && open > 0 && (frames.length - 1 > open || top(frames).children.length > 0)) {
    while (frames.length - 1 > open) unmark(frames);
    const { children } = frames.pop() as Frame;
    top(frames).children.push({ kind: mark.kind, children });
  } else if (mark.opens && !frames.some((frame) => frame.mark?.kind === mark.kind)) frames.push({ mark, children: [] });
  else push(top(frames).children, mark.mark);
}

/** The innermost mark was never closed: it is text. */
function unmark(frames: Frame[]): void {
  const { mark, children } = frames.pop() as Frame;
  const parent = top(frames).children;
  if (mark !== undefined) push(parent, mark.mark);
  for (const child of children) push(parent, child);
}

function top(frames: readonly Frame[]): Frame {
  return frames[frames.length - 1] as Frame;
}

/** Appends, joining text to text. */
function push(list: Inline[], piece: Inline): void {
  const last = list[list.length - 1];
  if (typeof piece === "string" && typeof last === "string") list[list.length - 1] = last + piece;
  else list.push(piece);
}
