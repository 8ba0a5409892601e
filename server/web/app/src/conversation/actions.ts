import type { Message } from "@natterjack/client";

/** Where something opens: beside an element, or at a point. */
export type Place = Element | DOMPointReadOnly;

/** What can be done from a row of the timeline. It is the same object for as long as the conversation is open, so that rows are drawn anew only when they change. */
export interface RowActions {
  reply(message: Message): void;
  /** Opens all that can be done with the message. */
  openMenu(message: Message, at: Place): void;
  pickReaction(message: Message, at: Place): void;
  react(message: Message, emoji: string, on: boolean): void;
  jumpTo(seq: number): void;
  retry(message: Message): void;
  discard(message: Message): void;
}

/** Whether something can be done with a message beyond looking at it: it is stored, and still there. */
export function isLive(message: Message): boolean {
  return message.seq > 0 && !message.deleted;
}
