/** What stands in a timeline, line by line: messages, and what divides them. */

import type { Message, TimelineState } from "@natterjack/client";

/** A line of the timeline. Its key stays the same for as long as the line means the same. */
export type Row =
  | { readonly kind: "day"; readonly key: string; readonly time: number }
  | { readonly kind: "new"; readonly key: string }
  /** An end of what is loaded: there is more on this side, or it is an end of the conversation. */
  | { readonly kind: "older" | "newer" | "beginning" | "end"; readonly key: string }
  | {
      readonly kind: "message";
      readonly key: string;
      readonly message: Message;
      /** It begins a group of messages of one sender: the name is shown. */
      readonly first: boolean;
      /** It ends the group: the picture is shown. */
      readonly last: boolean;
    };

/** Messages of one sender that follow one another within this time (milliseconds) are shown as a group. */
const together = 5 * 60_000;

/**
 * The rows of these messages. Days are those of the reader's time zone. "New messages" stands before the first message of somebody else after `openedReadSeq`;
 * where that is 0, or the first one of the piece is after it and older ones are not loaded, it isn't known where the new ones begin, and it stands nowhere.
 */
export function rowsOf(messages: readonly Message[], openedReadSeq: number, hasOlder: boolean): Row[] {
  const rows: Row[] = [];
  const newAt = firstNew(messages, openedReadSeq, hasOlder);
  let day = "";
  let starts = true;
  for (let at = 0; at < messages.length; at++) {
    const message = messages[at] as Message;
    const thisDay = dayOf(message.time);
    if (thisDay !== day) rows.push({ kind: "day", key: `day ${message.key}`, time: message.time });
    if (at === newAt) rows.push({ kind: "new", key: "new" });
    if (thisDay !== day || at === newAt) starts = true;
    day = thisDay;
    const next = messages[at + 1];
    const ends = next === undefined || at + 1 === newAt || !groups(message, next) || dayOf(next.time) !== day;
    rows.push({ kind: "message", key: message.key, message, first: starts, last: ends });
    starts = ends;
  }
  return rows;
}

/** Where the row of a message is, or -1. */
export function rowOfSeq(rows: readonly Row[], seq: number): number {
  return rows.findIndex((row) => row.kind === "message" && row.message.seq === seq);
}

/** The next row with a message from `at` on in the direction, or -1. */
export function nextMessageRow(rows: readonly Row[], at: number, direction: 1 | -1): number {
  for (let next = at + direction; next >= 0 && next < rows.length; next += direction)
    if (rows[next]?.kind === "message") return next;
  return -1;
}

/** All rows of a timeline, with what stands at their two ends. */
export function rowsOfState({ messages, openedReadSeq, hasOlder, hasNewer }: Omit<TimelineState, "loading" | "error">): Row[] {
  return withEnds(rowsOf(messages, openedReadSeq, hasOlder), { hasOlder, hasNewer });
}

function withEnds(rows: readonly Row[], { hasOlder, hasNewer }: { hasOlder: boolean; hasNewer: boolean }): Row[] {
  const start: Row = hasOlder ? { kind: "older", key: "older" } : { kind: "beginning", key: "beginning" };
  return [start, ...rows, hasNewer ? { kind: "newer", key: "newer" } : { kind: "end", key: "end" }];
}

/** The key of the oldest message, or undefined where there is none. */
export function oldestKey(rows: readonly Row[]): string | undefined {
  return rows[nextMessageRow(rows, -1, 1)]?.key;
}

function firstNew(messages: readonly Message[], readSeq: number, hasOlder: boolean): number {
  const unread = (message: Message) => message.seq > readSeq && !message.mine;
  const at = messages.findIndex(unread);
  // Before everything, the divider would divide nothing.
  if (at < 0 || (at === 0 && !hasOlder && readSeq === 0)) return -1;
  return at === 0 && hasOlder ? -1 : at;
}

function groups(message: Message, next: Message): boolean {
  return message.senderId === next.senderId && next.time - message.time < together;
}

// Local days are asked for each message of a long timeline: building a Date once per quarter of an hour is enough, as every time zone is a whole number of
// them away from UTC.
const quarter = 15 * 60_000;
const days = new Map<number, string>();

/** The reader's day of a time, as a key. */
function dayOf(time: number): string {
  const slot = Math.floor(time / quarter);
  let day = days.get(slot);
  if (day === undefined) {
    if (days.size > 10_000) days.clear();
    const date = new Date(slot * quarter);
    day = `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
    days.set(slot, day);
  }
  return day;
}
