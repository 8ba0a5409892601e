import { randomBytes, randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { AuthService } from "@natterjack/proto/auth/v1/auth_service_pb.js";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import { ConversationKind, type MemberRole } from "@natterjack/proto/chat/v1/conversation_pb.js";
import type { Message } from "@natterjack/proto/chat/v1/message_pb.js";
import { SendMessageRequestSchema } from "@natterjack/proto/chat/v1/request_pb.js";
import { StreamRequestSchema } from "@natterjack/proto/chat/v1/stream_pb.js";

/** The password of everybody. */
export const password = "correct horse battery";

/** A username that no other test uses. */
export function newName(stem: string): string {
  return `${stem}-${randomBytes(4).toString("hex")}`;
}

/** Somebody with an account who uses the API and no browser: prepares what a test begins with, and acts from elsewhere. */
export class Person {
  private readonly calls: ReturnType<typeof connect>;
  private readonly connection: Http2SessionManager;

  private constructor(
    readonly url: string,
    readonly id: string,
    readonly username: string,
    readonly token: string,
  ) {
    this.connection = new Http2SessionManager(url);
    this.calls = connect(url, this.connection, token);
  }

  /** Makes an account on the server at `url`, named `displayName` and with a username of its own. */
  static async signUp(url: string, displayName: string, username = newName("person")): Promise<Person> {
    const connection = new Http2SessionManager(url);
    const { auth } = connect(url, connection);
    const { user, session } = await auth.signUp({ username, password, displayName, deviceName: "API" });
    connection.abort();
    if (!user || !session) throw new Error("the server answered without the account");
    return new Person(url, user.id, username, session.accessToken);
  }

  get chat() {
    return this.calls.chat;
  }

  get auth() {
    return this.calls.auth;
  }

  /** The id of the conversation with another user. */
  async direct(other: { id: string }): Promise<string> {
    const { conversation } = await this.chat.createConversation({ kind: ConversationKind.DIRECT, memberIds: [other.id] });
    return conversation?.id ?? "";
  }

  /** The id of a new group. */
  async group(title: string, members: readonly { id: string }[], role?: MemberRole): Promise<string> {
    const { conversation } = await this.chat.createConversation({ kind: ConversationKind.GROUP, title, memberIds: [] });
    const id = conversation?.id ?? "";
    const userIds = members.map((m) => m.id);
    if (userIds.length > 0) await this.chat.addMembers({ conversationId: id, userIds, ...(role !== undefined && { role }) });
    return id;
  }

  async send(conversationId: string, content: string, replyToSeq = 0n): Promise<Message> {
    const { message } = await this.chat.sendMessage({ conversationId, clientMessageId: randomUUID(), content, replyToSeq });
    if (!message) throw new Error("the server answered without the message");
    return message;
  }

  /** Sends messages in the order of their numbers, from 1, over one stream. */
  async sendMany(conversationId: string, count: number, content: (n: number) => string): Promise<void> {
    async function* requests() {
      yield create(StreamRequestSchema, {
        requestId: 1n,
        request: { case: "hello", value: { deviceId: randomUUID(), attempt: 1n } },
      });
      for (let n = 1; n <= count; n++) {
        const value = create(SendMessageRequestSchema, { conversationId, clientMessageId: randomUUID(), content: content(n) });
        yield create(StreamRequestSchema, { requestId: BigInt(n + 1), request: { case: "sendMessage", value } });
      }
    }
    let acknowledged = 0;
    // The end of the requests is the end of the stream, after the last answer.
    for await (const { events } of this.chat.stream(requests())) {
      for (const { event } of events) {
        if (event.case === "error") throw new Error(event.value.message);
        if (event.case === "ack" && event.value.requestId > 1n) acknowledged++;
      }
    }
    if (acknowledged !== count) throw new Error(`${acknowledged} of ${count} messages were acknowledged`);
  }

  /** All messages of a conversation, oldest first. */
  async history(conversationId: string): Promise<Message[]> {
    const all: Message[] = [];
    for (let beforeSeq = 0n; ; ) {
      const { messages, hasOlder } = await this.chat.listMessages({ conversationId, limit: 100, beforeSeq });
      all.unshift(...messages);
      if (!hasOlder || messages.length === 0) return all;
      beforeSeq = messages[0]?.seq ?? 0n;
    }
  }

  close(): void {
    this.connection.abort();
  }
}

function connect(baseUrl: string, sessionManager: Http2SessionManager, token?: string) {
  const authorize: Interceptor = (next) => (request) => {
    if (token) request.header.set("Authorization", `Bearer ${token}`);
    return next(request);
  };
  const transport = createConnectTransport({ baseUrl, httpVersion: "2", sessionManager, interceptors: [authorize] });
  return { auth: createClient(AuthService, transport), chat: createClient(ChatService, transport) };
}
