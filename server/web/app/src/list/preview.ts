import type { Conversation, Message } from "@natterjack/client";

/** In characters: more of a message than a line shows. */
const most = 160;

/** The beginning of a message as one line. */
export function line(message: Message): string {
  return message.deleted ? "Message deleted" : message.content.slice(0, most).replace(/\s+/gu, " ").trim();
}

/** Who wrote the newest message, where that is not clear from what kind of conversation it is. `name` is the sender's, where it is known. */
export function byline(conversation: Conversation, name: string | undefined): string | undefined {
  const message = conversation.lastMessage;
  if (message === undefined) {
    return undefined;
  }
  if (message.mine) {
    return "You";
  }
  return conversation.kind === "group" ? name?.split(" ")[0] : undefined;
}
