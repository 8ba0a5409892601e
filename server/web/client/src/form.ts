/**
 * What was kept may have been written by another version of the page, by a faulty one, or by something else of the same origin. These tell what can be
 * used of it, before the model relies on it.
 */
import { create } from "@bufbuild/protobuf";
import { ConversationSummarySchema, ReceiptSchema } from "@natterjack/proto/chat/v1/conversation_pb.js";
import { MessageSchema } from "@natterjack/proto/chat/v1/message_pb.js";
import { UserSchema } from "@natterjack/proto/chat/v1/user_pb.js";
import type { Account, User } from "./api.js";
import {
  type OutboxItem,
  type StoredConversation,
  type StoredMessage,
  type Tail,
  toConversation,
  toMarks,
  toMessage,
  toUser,
} from "./model/records.js";

/**
 * Whether a value has the form of a sample: the same types in the same places. A list's sample has one element, which all are like; a function decides by
 * itself. What the sample doesn't have may be there as well.
 */
export function fits(sample: unknown, value: unknown): boolean {
  if (typeof sample === "function") {
    return sample(value);
  }
  if (Array.isArray(sample)) {
    return Array.isArray(value) && value.every((v) => fits(sample[0], v));
  }
  if (typeof value !== typeof sample || value === null) {
    return false;
  }
  if (typeof value === "object") {
    return Object.entries(sample as object).every(([key, s]) => fits(s, (value as Record<string, unknown>)[key]));
  }
  return typeof value !== "number" || Number.isSafeInteger(value);
}

const user = toUser(create(UserSchema));
const message = { ...toMessage(create(MessageSchema)), reactions: [{ emoji: "", userIds: [""] }] };
const conversation = {
  ...toConversation(create(ConversationSummarySchema)),
  lastMessage: (m?: StoredMessage) => m === undefined || fits(message, m),
  peers: [toMarks(create(ReceiptSchema))],
};

export function isUser(value: unknown): value is User {
  return fits(user, value);
}

export function isAccount(value: unknown): value is Account {
  return fits({ user, createTime: 0, presenceHidden: false }, value);
}

export function isConversation(value: unknown): value is StoredConversation {
  return fits(conversation, value);
}

export function isTail(value: unknown): value is Tail {
  return fits({ conversationId: "", messages: [message], cursor: 0, hasOlder: false }, value);
}

const states: ReadonlySet<string> = new Set<OutboxItem["state"]>(["waiting", "stored", "failed"]);

/** A message on its way, as far as it can be made out: where its text and place can, it is sent, under its old id, so once at most. */
export function toOutboxItem(id: string, value: unknown): OutboxItem | undefined {
  const item: OutboxItem = {
    id,
    conversationId: "",
    content: "",
    replyTo: 0,
    created: Date.now(),
    order: Date.now() * 1000,
    state: "waiting",
  };
  if (fits({ ...item, state: (s: string) => states.has(s) }, value)) {
    return value as OutboxItem;
  }
  const { conversationId, content } = item;
  if (!fits({ conversationId, content }, value)) {
    return undefined;
  }
  const read = value as OutboxItem;
  return { ...item, conversationId: read.conversationId, content: read.content };
}
