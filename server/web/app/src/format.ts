/** How times and numbers are told to people, in their language's way. All take the present as an argument. */

import type { Presence } from "@natterjack/client";

const minute = 60_000;
const hour = 60 * minute;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** The time of day. */
export function timeOfDay(time: number): string {
  return clock.format(time);
}

/** The number of midnights between two times. */
export function daysBetween(earlier: number, later: number): number {
  const midnight = (t: number) => new Date(t).setHours(0, 0, 0, 0);
  return Math.round((midnight(later) - midnight(earlier)) / (24 * hour));
}

/** As short as it can be told apart: the time today, the weekday in the last week, then the date. */
export function shortTime(time: number, now: number): string {
  const days = daysBetween(time, now);
  if (days <= 0) {
    return timeOfDay(time);
  }
  if (days === 1) {
    return "Yesterday";
  }
  if (days < 7) {
    return weekday.format(time);
  }
  const sameYear = new Date(time).getFullYear() === new Date(now).getFullYear();
  return (sameYear ? dayOfYear : date).format(time);
}

/** Date and time in full. */
export function fullTime(time: number): string {
  return moment.format(time);
}

/** "Just now", "5 min ago", "3 h ago", then as {@link shortTime}. */
export function ago(time: number, now: number): string {
  const past = now - time;
  if (past < minute) {
    return "just now";
  }
  if (past < hour) {
    return `${Math.floor(past / minute)} min ago`;
  }
  if (daysBetween(time, now) === 0) {
    return `${Math.floor(past / hour)} h ago`;
  }
  const days = daysBetween(time, now);
  return days === 1 ? `yesterday, ${timeOfDay(time)}` : shortTime(time, now);
}

/** What is known of where somebody is; nothing where nothing is. */
export function presenceText(presence: Presence, now: number): string | undefined {
  switch (presence.state) {
    case "online":
      return "Online";
    case "away":
      return "Away";
    case "offline":
      return presence.lastSeenTime === undefined ? "Offline" : `Last seen ${ago(presence.lastSeenTime, now)}`;
    case "unknown":
      return undefined;
  }
}

/** "1 member", "12 members". */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString()} ${n === 1 ? one : many}`;
}
