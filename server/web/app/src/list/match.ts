/** Finding by what was typed: without regard to case and accents, each word at the beginning of some word. */

/** A text as it is compared. */
function fold(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLocaleLowerCase();
}

const notWord = /[^\p{L}\p{N}]+/u;

/** Says whether each word of the query begins a word of one of the texts. A query without words matches nothing. */
export function matches(query: string, ...texts: string[]): boolean {
  const wanted = fold(query).split(notWord).filter(Boolean);
  const words = texts.flatMap((t) => fold(t).split(notWord));
  return wanted.length > 0 && wanted.every((w) => words.some((word) => word.startsWith(w)));
}

/** In characters: longer queries the server refuses. */
const longest = 256;

/** What is sent to the server for a query that is still being written: its last word may go on. */
export function asPrefix(query: string): string {
  const sent = query.slice(0, longest - 1);
  return /[\p{L}\p{N}]$/u.test(sent) ? `${sent}*` : sent;
}

export interface Piece {
  readonly text: string;
  readonly found: boolean;
}

/** In characters: how much of a long message stands before the first word that was found. */
const lead = 40;
/** In characters: how much of a long message is shown at most. */
const most = 240;

/** Cuts a text into pieces that are and are not what the query looks for, beginning shortly before the first that is. */
export function excerpt(text: string, query: string): Piece[] {
  const wanted = fold(query).split(notWord).filter(Boolean);
  const words = [...text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)];
  const hits = words.filter((m) => wanted.some((w) => fold(m[0]).startsWith(w)));
  const start = startOf(text, hits[0]?.index ?? 0);
  const end = start + most;
  const pieces: Piece[] = start > 0 ? [{ text: "…", found: false }] : [];
  let at = start;
  for (const hit of hits.filter((h) => h.index >= start && h.index + h[0].length <= end)) {
    pieces.push({ text: text.slice(at, hit.index), found: false }, { text: hit[0], found: true });
    at = hit.index + hit[0].length;
  }
  pieces.push({ text: text.slice(at, end), found: false });
  return pieces.filter((p) => p.text !== "");
}

/** The beginning of the first word within the lead of a place. */
function startOf(text: string, index: number): number {
  if (index <= lead) {
    return 0;
  }
  const space = text.slice(index - lead, index).search(/\s/u);
  return space < 0 ? index : index - lead + space + 1;
}
