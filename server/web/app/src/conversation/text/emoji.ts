/** Messages that say it with emoji alone are shown larger. */

// One emoji as people see it: a flag, a keycap, or a picture with skin tone, tags (the flags of parts of countries) and joined pictures (families).
const one =
  /\p{RI}\p{RI}|[0-9#*]\uFE0F?\u20E3|(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\uFE0F|\p{Extended_Pictographic}(?=\p{EMod}|\u200D))\p{EMod}?\uFE0F?[\u{E0020}-\u{E007F}]*(?:\u200D\p{Extended_Pictographic}\p{EMod}?\uFE0F?)*/u
    .source;
const only = new RegExp(`^(?:\\s*(?:${one}))+\\s*$`, "u");
const each = new RegExp(one, "gu");

/** More than this many are a text of their own. */
const most = 12;

/** How many emoji a text has, where it has nothing else and not too many; else 0. */
export function emojiCount(text: string): number {
  // The longest emoji are some 35 units long; a longer text needs no look.
  if (text.length > most * 36 || !only.test(text)) return 0;
  const count = text.match(each)?.length ?? 0;
  return count <= most ? count : 0;
}
