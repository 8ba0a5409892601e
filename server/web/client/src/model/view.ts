/** The public values, made from the records. */
import type { Delivery, Message } from "../api.js";
import { chatError } from "../errors.js";
import type { OutboxItem, StoredConversation, StoredMessage } from "./records.js";

/** How far a stored message of one's own has come. */
export function deliveryOf(seq: number, c: Pick<StoredConversation, "peersReadSeq" | "peersDeliveredSeq">): Delivery {
  if (seq <= c.peersReadSeq) {
    return "read";
  }
  return seq <= c.peersDeliveredSeq ? "delivered" : "sent";
}

/** A message as its conversation's record and the own user make it. */
export function messageView(
  m: StoredMessage,
  c: Pick<StoredConversation, "id" | "peersReadSeq" | "peersDeliveredSeq">,
  self: string,
): Message {
  const mine = m.senderId === self;
  return {
    // The outbox has the same key, so that a list keeps the row. Another user's client ids are not ours to trust.
    key: mine && m.clientId !== "" ? m.clientId : `#${m.seq}`,
    conversationId: c.id,
    seq: m.seq,
    senderId: m.senderId,
    content: m.content,
    time: m.time,
    ...(m.editTime > 0 && { editTime: m.editTime }),
    deleted: m.deleted,
    replyTo: m.replyTo,
    reactions: m.reactions.map((r) => ({ emoji: r.emoji, userIds: r.userIds, mine: r.userIds.includes(self) })),
    mine,
    ...(mine && { delivery: deliveryOf(m.seq, c) }),
  };
}

/** A message of the outbox. */
export function outboxView(item: OutboxItem, c: StoredConversation | undefined, self: string, connected: boolean): Message {
  return {
    key: item.id,
    conversationId: item.conversationId,
    seq: 0,
    senderId: self,
    content: item.content,
    time: item.time ?? item.created,
    deleted: false,
    replyTo: item.replyTo,
    reactions: [],
    mine: true,
    delivery: outboxDelivery(item, c, connected),
    ...(item.error && { error: chatError(item.error) }),
  };
}

function outboxDelivery(item: OutboxItem, c: StoredConversation | undefined, connected: boolean): Delivery {
  switch (item.state) {
    case "failed":
      return "failed";
    case "stored":
      return c && item.seq !== undefined ? deliveryOf(item.seq, c) : "sent";
    case "waiting":
      return connected || item.unkept ? "sending" : "queued";
  }
}
