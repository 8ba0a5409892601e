/** How many colours avatars have; avatar.module.css has as many. */
const hues = 8;

const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

function first(word: string): string {
  const [segment] = graphemes.segment(word);
  return segment?.segment.toLocaleUpperCase() ?? "";
}

/** The first characters of the first and the last word, as people see characters: a letter with its accents is one, and an emoji is enough alone. Nothing of a name that is not known yet. */
export function initials(name: string): string {
  const words = name.split(/\s+/u).filter((w) => /[\p{L}\p{N}\p{Extended_Pictographic}]/u.test(w));
  const [head, ...rest] = words.map((w) => w.replace(/^[^\p{L}\p{N}\p{Extended_Pictographic}]+/u, ""));
  if (head === undefined) {
    return name === "" ? "" : "?";
  }
  return /^\p{Extended_Pictographic}/u.test(head) ? first(head) : first(head) + first(rest.at(-1) ?? "");
}

/** One of the colours, always the same for an id. */
export function hueOf(id: string): number {
  let hash = 0;
  for (let i = 0; i < id.length; i++) {
    hash = (hash * 31 + id.charCodeAt(i)) | 0;
  }
  return Math.abs(hash) % hues;
}
