/** What one event costs where there is much: `npx vitest bench --run`. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ConversationKind, ConversationSummarySchema, MemberRole } from "@natterjack/proto/chat/v1/conversation_pb.js";
import { type Event, EventSchema } from "@natterjack/proto/chat/v1/stream_pb.js";
import { bench, describe } from "vitest";
import { Model } from "../src/model/model.js";
import { Notifier } from "../src/model/signal.js";

const conversations = 10_000;
const messages = 50_000;

function summary(id: string, n: number) {
  return create(ConversationSummarySchema, {
    conversation: { id, kind: ConversationKind.GROUP, title: id, changedSeq: 1n },
    self: { conversationId: id, user: { id: "me", username: "me" }, role: MemberRole.MEMBER, joinedSeq: 1n },
    lastSeq: 1n,
    receipt: { conversationId: id, userId: "me" },
    peerReceipts: [{ conversationId: id, userId: "you" }],
    memberCount: 2,
    updateTime: timestampFromMs(n),
  });
}

let clock = conversations;

function message(id: string, seq: number, sender: string): Event {
  const value = {
    conversationId: id,
    seq: BigInt(seq),
    senderId: sender,
    content: `message ${seq}`,
    clientMessageId: `${id} ${seq}`,
    timestamp: timestampFromMs(++clock),
    changedSeq: BigInt(seq),
    ordinal: BigInt(seq - 1),
  };
  return create(EventSchema, { conversationId: id, seq: BigInt(seq), event: { case: "message", value } });
}

function receipt(id: string, seq: number): Event {
  const value = { conversationId: id, userId: "you", readSeq: BigInt(seq), deliveredSeq: BigInt(seq) };
  return create(EventSchema, { event: { case: "receipt", value } });
}

describe(`${conversations} conversations`, () => {
  const model = new Model("me", new Notifier(), () => {});
  const seqs = new Map<string, number>();
  for (let n = 0; n < conversations; n++) {
    model.summary(summary(`c${n}`, n));
    seqs.set(`c${n}`, 1);
  }
  model.conversations.get();
  let n = 0;
  const next = () => {
    n = (n * 7919 + 13) % conversations;
    const id = `c${n}`;
    const seq = (seqs.get(id) ?? 1) + 1;
    seqs.set(id, seq);
    return message(id, seq, "you");
  };
  bench("a message, and the list anew", () => {
    model.apply([next()]);
    model.conversations.get();
    model.take();
  });
  bench("100 messages, and the list anew", () => {
    model.apply(Array.from({ length: 100 }, next));
    model.conversations.get();
    model.take();
  });
});

describe(`a timeline of ${messages} messages`, () => {
  const model = new Model("me", new Notifier(), () => {});
  model.summary(summary("c", 0));
  const piece = model.pieces.open("c", () => {});
  piece.end(piece.begin("replace"), { messages: [], hasOlder: false, hasNewer: false });
  let seq = 1;
  const append = () => model.apply([message("c", ++seq, seq % 2 ? "me" : "you")]);
  while (seq < messages) append();
  model.take();
  bench("a message, and what is shown anew", () => {
    append();
    piece.views();
    model.take();
  });
  bench("a read mark over one message, and what is shown anew", () => {
    append();
    model.apply([receipt("c", seq)]);
    piece.views();
    model.take();
  });
  bench("an edit in the middle, and what is shown anew", () => {
    const e = message("c", ++seq, "you");
    if (e.event.case === "message") e.event.value.seq = BigInt(messages >> 1);
    model.apply([e]);
    piece.views();
    model.take();
  });
});
