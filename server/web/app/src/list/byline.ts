import type { Conversation } from "@natterjack/client";

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
