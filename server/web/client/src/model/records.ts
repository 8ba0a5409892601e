/**
 * What the client keeps: plain, immutable records, made from the schema's messages. They are what is stored in the browser and what the public values
 * are made from, so a change of their form wants a new version of the storage.
 */
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import {
  ConversationKind,
  type ConversationSummary,
  MemberRole,
  type Member as WireMember,
  type Receipt as WireReceipt,
} from "@natterjack/proto/chat/v1/conversation_pb.js";
import type { Message as WireMessage } from "@natterjack/proto/chat/v1/message_pb.js";
import { PresenceState, type Presence as WirePresence, type User as WireUser } from "@natterjack/proto/chat/v1/user_pb.js";
import type { Presence, Role, User } from "../api.js";
import type { Failure } from "../errors.js";

export interface StoredMessage {
  readonly seq: number;
  readonly senderId: string;
  readonly clientId: string;
  readonly content: string;
  readonly time: number;
  readonly editTime: number;
  readonly deleted: boolean;
  readonly replyTo: number;
  readonly reactions: readonly { readonly emoji: string; readonly userIds: readonly string[] }[];
  readonly changedSeq: number;
  readonly ordinal: number;
}

/** Marks only grow: see {@link laterMarks}. Times are 0 where they are unknown. */
export interface Marks {
  readonly userId: string;
  readonly readSeq: number;
  readonly deliveredSeq: number;
  readonly readTime: number;
}

export interface StoredConversation {
  readonly id: string;
  readonly kind: "direct" | "group";
  readonly title: string;
  /** The seq of the event that last changed the title. */
  readonly changedSeq: number;
  readonly peerId: string;
  readonly role: Role;
  readonly memberCount: number;
  readonly lastSeq: number;
  readonly lastMessage: StoredMessage | undefined;
  /** The ordinal of the newest message, and that of the newest one that was read: their difference is what is unread. */
  readonly lastOrdinal: number;
  readonly readOrdinal: number;
  /** The read mark that `readOrdinal` was told for: where the own mark is beyond it, what is unread has to be asked for. */
  readonly countedSeq: number;
  readonly own: Marks;
  /** The own marks as the server has them: what is beyond is still to be said. */
  readonly saidReadSeq: number;
  readonly saidDeliveredSeq: number;
  readonly peers: readonly Marks[];
  /** The furthest marks of others, also where there are too many for `peers`. */
  readonly peersReadSeq: number;
  readonly peersDeliveredSeq: number;
  readonly updateTime: number;
}

/** A message on its way: `waiting` until the server has stored it (`stored`) or refused it for good (`failed`). */
export interface OutboxItem {
  /** The client_message_id. */
  readonly id: string;
  readonly conversationId: string;
  readonly content: string;
  readonly replyTo: number;
  /** When it was written; with `order` it gives the order of sending. */
  readonly created: number;
  readonly order: number;
  readonly state: "waiting" | "stored" | "failed";
  /** It would not survive a reload yet. So it is in the tab that wrote it only, and never kept. */
  readonly unkept?: boolean;
  /** Of a stored one. */
  readonly seq?: number;
  readonly time?: number;
  /** It is shown by itself: this one is kept only to be sent again, should the server lose it. */
  readonly settled?: boolean;
  /** Of a failed one. */
  readonly error?: Failure;
}

/** The newest messages of a conversation, without a gap, in which everything up to `cursor` is told. */
export interface Tail {
  readonly conversationId: string;
  readonly messages: readonly StoredMessage[];
  readonly cursor: number;
  readonly hasOlder: boolean;
}

export interface StoredMember {
  readonly userId: string;
  readonly role: Role;
}

export function millis(t: Timestamp | undefined): number {
  return t === undefined ? 0 : Number(t.seconds) * 1000 + Math.floor(t.nanos / 1e6);
}

export function toUser(u: WireUser): User {
  return { id: u.id, username: u.username, displayName: u.displayName, avatarUrl: u.avatarUrl };
}

export function sameUser(a: User | undefined, b: User): boolean {
  return a !== undefined && a.username === b.username && a.displayName === b.displayName && a.avatarUrl === b.avatarUrl;
}

export function toMessage(m: WireMessage): StoredMessage {
  return {
    seq: Number(m.seq),
    senderId: m.senderId,
    clientId: m.clientMessageId,
    content: m.content,
    time: millis(m.timestamp),
    editTime: millis(m.editTime),
    deleted: m.deleteTime !== undefined,
    replyTo: Number(m.replyToSeq),
    reactions: m.reactions.map((r) => ({ emoji: r.emoji, userIds: [...r.userIds] })),
    changedSeq: Number(m.changedSeq),
    ordinal: Number(m.ordinal),
  };
}

const roles: Record<Role, MemberRole> = {
  reader: MemberRole.READER,
  member: MemberRole.MEMBER,
  admin: MemberRole.ADMIN,
  owner: MemberRole.OWNER,
};

export function toRole(role: MemberRole): Role {
  switch (role) {
    case MemberRole.OWNER:
      return "owner";
    case MemberRole.ADMIN:
      return "admin";
    case MemberRole.MEMBER:
      return "member";
    default: // a role that this version doesn't know may do the least
      return "reader";
  }
}

export function fromRole(role: Role): MemberRole {
  return roles[role];
}

export function toMember(m: WireMember): StoredMember {
  return { userId: m.user?.id ?? "", role: toRole(m.role) };
}

export function toMarks(r: WireReceipt): Marks {
  return { userId: r.userId, readSeq: Number(r.readSeq), deliveredSeq: Number(r.deliveredSeq), readTime: millis(r.readTime) };
}

/** Of two states of one member's marks the later: each mark by itself. The first is returned where the second adds nothing. */
export function laterMarks(a: Marks, b: Marks): Marks {
  if (b.readSeq <= a.readSeq && b.deliveredSeq <= a.deliveredSeq && (b.readSeq < a.readSeq || b.readTime <= a.readTime)) {
    return a;
  }
  return {
    userId: a.userId,
    readSeq: Math.max(a.readSeq, b.readSeq),
    deliveredSeq: Math.max(a.deliveredSeq, b.deliveredSeq),
    readTime: b.readSeq > a.readSeq ? b.readTime : b.readSeq < a.readSeq ? a.readTime : Math.max(a.readTime, b.readTime),
  };
}

const presences: Partial<Record<PresenceState, Presence["state"]>> = {
  [PresenceState.ONLINE]: "online",
  [PresenceState.AWAY]: "away",
  [PresenceState.OFFLINE]: "offline",
};

export function toPresence(p: WirePresence): Presence {
  const state = presences[p.state] ?? "unknown";
  return state === "offline" && p.lastSeenTime ? { state, lastSeenTime: millis(p.lastSeenTime) } : { state };
}

/** The record of a summary, as if nothing had been known before. */
export function toConversation(s: ConversationSummary): StoredConversation {
  const own = s.receipt ? toMarks(s.receipt) : { userId: s.self?.user?.id ?? "", readSeq: 0, deliveredSeq: 0, readTime: 0 };
  const peers = s.peerReceipts.map(toMarks);
  const lastMessage = s.lastMessage && toMessage(s.lastMessage);
  const lastOrdinal = lastMessage?.ordinal ?? 0;
  const read = s.lastMessage?.read && lastMessage?.senderId === own.userId ? lastMessage.seq : 0;
  return {
    id: s.conversation?.id ?? "",
    kind: s.conversation?.kind === ConversationKind.DIRECT ? "direct" : "group",
    title: s.conversation?.title ?? "",
    changedSeq: Number(s.conversation?.changedSeq ?? 0n),
    peerId: s.peer?.id ?? "",
    role: toRole(s.self?.role ?? MemberRole.UNSPECIFIED),
    memberCount: s.memberCount,
    lastSeq: Number(s.lastSeq),
    lastMessage,
    lastOrdinal,
    readOrdinal: lastOrdinal - Number(s.unreadCount),
    countedSeq: own.readSeq,
    own,
    saidReadSeq: own.readSeq,
    saidDeliveredSeq: own.deliveredSeq,
    peers,
    peersReadSeq: Math.max(read, ...peers.map((p) => p.readSeq)),
    peersDeliveredSeq: Math.max(read, ...peers.map((p) => p.deliveredSeq)),
    updateTime: millis(s.updateTime),
  };
}
