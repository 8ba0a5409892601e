/** How times, people and states are said. */

import type { Delivery, Message, User } from "@natterjack/client";
import { daysBetween, timeOfDay } from "../format.ts";
import type { IconName } from "../ui/Icon.tsx";
import { preview } from "./text/preview.ts";

const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const thisYear = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const anyYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const list = new Intl.ListFormat(undefined, { type: "conjunction" });

/** The name of a day as people say it now: Today, Yesterday, Monday, Monday 3 March, 3 March 2024. */
export function dayName(time: number, now: number): string {
  const apart = daysBetween(time, now);
  if (apart === 0) return "Today";
  if (apart === 1) return "Yesterday";
  if (apart > 1 && apart < 7) return weekday.format(time);
  return (new Date(time).getFullYear() === new Date(now).getFullYear() ? thisYear : anyYear).format(time);
}

/** "Ada is typing", "Ada and Bob are typing", or how many where there are more than three. */
export function typingLine(users: readonly User[]): string {
  if (users.length === 0) return "";
  if (users.length > 3) return `${users.length} people are typing`;
  return `${names(users.map((user) => user.displayName))} ${users.length === 1 ? "is" : "are"} typing`;
}

/** Joins names; each is isolated, so that one written from right to left doesn't turn the sentence around. */
export function names(all: readonly string[], most = 10): string {
  const shown = all.slice(0, most).map((name) => `\u2068${name}\u2069`);
  if (all.length > most) shown.push(`${all.length - most} more`);
  return list.format(shown);
}

/** The state of one's own message in a drawing, and in words. */
export const deliveries: Readonly<Record<Delivery, { icon: IconName; words: string }>> = {
  queued: { icon: "clock", words: "Waiting for a connection" },
  sending: { icon: "clock", words: "Sending" },
  failed: { icon: "alert", words: "Not sent" },
  sent: { icon: "check", words: "Sent" },
  delivered: { icon: "checks", words: "Delivered" },
  read: { icon: "checks", words: "Read" },
};

/** What a screen reader says when it comes to a message. */
export function messageLabel(message: Message, sender: string, edited: boolean): string {
  const parts = [`${message.mine ? "You" : sender}, ${timeOfDay(message.time)}`, preview(message, 500)];
  if (edited) parts.push("edited");
  for (const reaction of message.reactions) parts.push(`${reaction.emoji} ${reaction.userIds.length}`);
  if (message.delivery !== undefined) parts.push(deliveries[message.delivery].words);
  return parts.join(", ");
}
