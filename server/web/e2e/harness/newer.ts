import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { AuthService } from "@natterjack/proto/auth/v1/auth_service_pb.js";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import { EventSchema, StreamResponseSchema } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { BrowserContext } from "playwright-core";

/** A field number that no message of the schema has. */
const added = 1500;

/** How often something was answered as a newer server would. */
export interface Newer {
  unary: number;
  stream: number;
}

/**
 * Puts a server of a newer schema before the pages of a context, by rewriting what the real one answers: each message at each depth has a field more,
 * and each frame of the stream one more event, of a kind that the pages have never heard of.
 */
export async function serveNewerSchema(context: BrowserContext): Promise<Newer> {
  const newer: Newer = { unary: 0, stream: 0 };
  await context.routeWebSocket(/\/natterjack\./, (page) => {
    page.connectToServer().onMessage((frame) => {
      newer.stream++;
      page.send(typeof frame === "string" ? frame : newerFrame(frame));
    });
  });
  await context.route(/\/natterjack\.[^?]*/, async (route) => {
    const schema = answerOf(new URL(route.request().url()).pathname);
    const response = await route.fetch();
    if (!schema || !response.ok()) return route.fulfill({ response });
    newer.unary++;
    const body = await response.body();
    return route.fulfill({ response, body: Buffer.from(newerMessage(schema, body)) });
  });
  return newer;
}

/** A frame is an envelope of Connect: flags, length, and, but for the last one, a response. */
function newerFrame(frame: Buffer): Buffer {
  if (frame[0] !== 0) return frame;
  const response = fromBinary(StreamResponseSchema, frame.subarray(5));
  response.events.push(create(EventSchema, { conversationId: "c" }));
  const body = newerMessage(StreamResponseSchema, toBinary(StreamResponseSchema, response));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function newerMessage(schema: DescMessage, body: Uint8Array): Uint8Array {
  const message = fromBinary(schema, body);
  addField(reflect(schema, message));
  return toBinary(schema, message);
}

function addField(message: ReflectMessage): void {
  const text = new BinaryWriter().string("added later").finish();
  message.message.$unknown = [...(message.message.$unknown ?? []), { no: added, wireType: WireType.LengthDelimited, data: text }];
  for (const field of message.fields) {
    if (field.fieldKind === "message" && message.isSet(field)) addField(message.get(field));
    if (field.fieldKind === "list" && field.listKind === "message")
      for (const item of message.get(field)) addField(item as ReflectMessage);
  }
}

function answerOf(path: string): DescMessage | undefined {
  for (const service of [AuthService, ChatService]) {
    const method = service.methods.find((m) => path === `/${service.typeName}/${m.name}`);
    if (method?.methodKind === "unary") return method.output;
  }
  return undefined;
}
