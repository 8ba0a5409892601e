/** A message on one line: in the list, in quotes and results, in notifications, and as screen readers say it. */

import type { Message } from "@natterjack/client";
import { parse, plainText } from "./parse.ts";

const characters = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** The text of a message on one line without marks. Of one longer than this (in units of UTF-16), the whole characters that fit. */
export function preview({ deleted, content }: Pick<Message, "deleted" | "content">, most = 140): string {
  if (deleted) return "Deleted message";
  // Marks take little room: what is cut off here would not have been shown.
  const source = content.slice(0, most * 3);
  // Where there are marks only, they are the text: an empty block of code.
  const text = oneLine(plainText(parse(source))) || oneLine(source);
  return text.length > most ? `${text.slice(0, characters.segment(text).containing(most)?.index)}…` : text;
}

function oneLine(text: string): string {
  return text.replace(/\s+/gu, " ").trim();
}
