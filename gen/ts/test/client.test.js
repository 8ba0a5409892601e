// The package as a consumer sees it: imported by its public name, called through Connect, in memory.
// `tsc` checks the types of this file, `node --test` runs it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { AuthService } from "@natterjack/proto/auth/v1/auth_service_pb.js";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import { MessageSchema } from "@natterjack/proto/chat/v1/message_pb.js";
import { StreamRequestSchema } from "@natterjack/proto/chat/v1/stream_pb.js";

test("a unary call goes through the generated client and service", async () => {
  const transport = createRouterTransport(({ service }) => {
    service(ChatService, {
      sendMessage: (request) => ({
        message: { conversationId: request.conversationId, content: request.content, seq: 7n },
      }),
    });
  });
  const client = createClient(ChatService, transport);

  const { message } = await client.sendMessage({ conversationId: "c1", clientMessageId: "u1", content: "hello" });

  assert.equal(message?.content, "hello");
  assert.equal(message?.seq, 7n);
});

test("the stream carries typed requests up and events down", async () => {
  const transport = createRouterTransport(({ service }) => {
    service(ChatService, {
      async *stream(requests) {
        for await (const { requestId, request } of requests) {
          if (request.case === "sendMessage") {
            yield { events: [{ event: { case: "ack", value: { requestId } } }] };
          }
        }
      },
    });
  });
  async function* requests() {
    yield create(StreamRequestSchema, { requestId: 1n, request: { case: "ping", value: {} } });
    yield create(StreamRequestSchema, { requestId: 2n, request: { case: "sendMessage", value: { content: "hello" } } });
  }

  const acknowledged = [];
  for await (const response of createClient(ChatService, transport).stream(requests())) {
    for (const { event } of response.events) {
      if (event.case === "ack") acknowledged.push(event.value.requestId);
    }
  }

  assert.deepEqual(acknowledged, [2n]);
});

test("a message survives both codecs, with 64-bit seqs and the field names of the REST answer", () => {
  const message = create(MessageSchema, { id: "m1", senderId: "u1", content: "hello", seq: 2n ** 62n, read: true });

  assert.deepEqual(fromBinary(MessageSchema, toBinary(MessageSchema, message)), message);
  const json = toJson(MessageSchema, message);
  assert.deepEqual(json, { id: "m1", senderId: "u1", content: "hello", seq: "4611686018427387904", read: true });
  assert.deepEqual(fromJson(MessageSchema, json), message);
});

test("reads may be sent by GET, writes may not", () => {
  const sideEffectFree = 1; // MethodOptions.IdempotencyLevel NO_SIDE_EFFECTS
  assert.equal(ChatService.method.listMessages.idempotency, sideEffectFree);
  assert.notEqual(ChatService.method.sendMessage.idempotency, sideEffectFree);
  assert.notEqual(AuthService.method.signIn.idempotency, sideEffectFree);
});
