import { once } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import { ErrorDetailSchema, ErrorReason } from "@natterjack/proto/chat/v1/error_pb.js";
import { GoodbyeReason, StreamResponseSchema } from "@natterjack/proto/chat/v1/stream_pb.js";
import { beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import { Outgoing } from "../src/outgoing.js";
import { bearer } from "../src/session.js";
import { createWebSocketTransport, NotOpened, subprotocol, type WebSocketConstructor } from "../src/websocket.js";
import { Server } from "./server.js";
import { eventually } from "./until.js";
import { newUser, open, webSocketNetwork } from "./wire.js";

let server: Server;
let token: string;
beforeAll(async () => {
  server = await Server.start();
  const auth = (await import("@natterjack/proto/auth/v1/auth_service_pb.js")).AuthService;
  const { session } = await createClient(auth, webSocketNetwork(server.url).calls).signUp(newUser());
  token = session?.accessToken ?? "";
  return () => server.stop();
});

function transport(url: string, interceptors: Interceptor[] = []) {
  return createWebSocketTransport({
    baseUrl: url,
    transport: webSocketNetwork(url).calls,
    interceptors,
    webSocket: WebSocket as unknown as WebSocketConstructor,
  });
}

const client = (url = server.url) => createClient(ChatService, transport(url));

type Requests = Outgoing<{ request: { case: "hello"; value: object } | { case: "ping"; value: object }; requestId?: bigint }>;

function hello(): Requests {
  const requests: Requests = new Outgoing();
  requests.push({ request: { case: "hello", value: {} } });
  return requests;
}

/** What a call fails with. */
async function failure(call: AsyncIterable<unknown>): Promise<ConnectError> {
  try {
    for await (const _ of call);
  } catch (error) {
    return error as ConnectError;
  }
  throw new Error("it didn't fail");
}

describe("the generated client over a WebSocket", () => {
  test("talks both ways, and ends in good order when it has no more to say", async () => {
    const requests = hello();
    const kinds: unknown[] = [];
    for await (const { events } of client().stream(requests, { headers: bearer(token) })) {
      for (const { event } of events) {
        kinds.push(event.case);
        if (event.case === "caughtUp") requests.push({ requestId: 7n, request: { case: "ping", value: {} } });
        if (event.case === "ack" && event.value.requestId === 7n) requests.end();
      }
    }
    expect(kinds).toEqual(["ready", "caughtUp", "ack"]);
  });

  test("fails with the server's own error where the token is wrong", async () => {
    const error = await failure(client().stream(hello(), { headers: bearer("nja_nonsense") }));
    expect(error.code).toBe(Code.Unauthenticated);
    expect(error.findDetails(ErrorDetailSchema)[0]?.reason).toBe(ErrorReason.INVALID_SESSION);
  });

  test("tells that the server refuses what it says", async () => {
    const requests: Requests = new Outgoing();
    requests.push({ request: { case: "ping", value: {} } });
    const reasons: unknown[] = [];
    await failure(
      (async function* () {
        for await (const { events } of client().stream(requests, { headers: bearer(token) })) {
          for (const { event } of events) if (event.case === "goodbye") reasons.push(event.value.reason);
          yield events;
        }
      })(),
    );
    expect(reasons).toEqual([GoodbyeReason.PROTOCOL_ERROR]);
  });

  test("sends unary and server-streaming calls by fetch", async () => {
    const aborted = new AbortController();
    const chat = client();
    await expect(chat.listConversations({}, { headers: bearer(token) })).resolves.toMatchObject({ summaries: [] });
    for await (const { events } of chat.subscribe({ hello: {} }, { headers: bearer(token), signal: aborted.signal })) {
      expect(events[0]?.event.case).toBe("ready");
      break;
    }
    aborted.abort();
  });

  test("runs interceptors, and sends the headers that they set", async () => {
    const methods: string[] = [];
    const authorize: Interceptor = (next) => (request) => {
      methods.push(request.method.name);
      request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    };
    const chat = createClient(ChatService, transport(server.url, [authorize]));
    const aborted = new AbortController();
    for await (const { events } of chat.stream(hello(), { signal: aborted.signal })) {
      expect(events[0]?.event.case).toBe("ready");
      break;
    }
    aborted.abort();
    expect(methods).toEqual(["Stream"]);
  });

  test("fails when it is aborted, before and after it was opened", async () => {
    await expect(failure(client().stream(hello(), { signal: AbortSignal.abort() }))).resolves.toMatchObject({
      code: Code.Canceled,
    });
    const aborted = new AbortController();
    const call = client()
      .stream(hello(), { headers: bearer(token), signal: aborted.signal })
      [Symbol.asyncIterator]();
    await call.next();
    const rest = failure({ [Symbol.asyncIterator]: () => call });
    aborted.abort();
    await expect(rest).resolves.toMatchObject({ code: Code.Canceled });
  });

  test("ends when its time is up", async () => {
    const error = await failure(client().stream(hello(), { headers: bearer(token), timeoutMs: 100 }));
    expect(error.code).toBe(Code.DeadlineExceeded);
  });

  test("says where it was not opened", async () => {
    const error = await failure(client("http://127.0.0.1:1").stream(hello()));
    expect(error.code).toBe(Code.Unavailable);
    expect(error.cause).toBeInstanceOf(NotOpened);
  });

  test("fails with what its requests fail with", async () => {
    async function* requests() {
      yield { request: { case: "hello", value: {} } } as const;
      throw new Error("out of ink");
    }
    const error = await failure(client().stream(requests(), { headers: bearer(token) }));
    expect(error.rawMessage).toBe("out of ink");
  });

  test("needs a WebSocket", async () => {
    vi.stubGlobal("WebSocket", undefined);
    onTestFinished(() => void vi.unstubAllGlobals());
    const bare = createWebSocketTransport({ baseUrl: server.url, transport: webSocketNetwork(server.url).calls });
    const error = await failure(createClient(ChatService, bare).stream(hello()));
    expect(error.cause).toBeInstanceOf(NotOpened);
  });

  test("leaves no stream open at the server", async () => {
    const device = open(webSocketNetwork(server.url));
    await device.session.signUp(newUser());
    const limit = 32; // streams per user
    for (let i = 0; i < limit + 8; i++) {
      const aborted = new AbortController();
      const call = client().stream(hello(), { headers: bearer(await device.session.accessToken()), signal: aborted.signal });
      const first = await call[Symbol.asyncIterator]().next();
      expect(first.value?.events[0]?.event.case).toBe("ready");
      aborted.abort();
    }
  });
});

// The real server never sends such things, but something between might.
describe("of a server that breaks the rules, the call", () => {
  const event = encodeEnvelope(
    0,
    toBinary(StreamResponseSchema, create(StreamResponseSchema, { events: [{ event: { case: "heartbeat", value: {} } }] })),
  );
  const end = encodeEnvelope(2, new TextEncoder().encode("{}"));

  /** Calls a server that answers each connection with these messages, and then closes it. */
  async function call(messages: (Uint8Array | string)[], close?: [number, string]) {
    const peer = new WebSocketServer({ port: 0, handleProtocols: () => subprotocol });
    await once(peer, "listening");
    const heard: Uint8Array[] = [];
    peer.on("connection", (socket) => {
      socket.on("message", (data: RawData) => heard.push(new Uint8Array(data as Buffer)));
      for (const message of messages) socket.send(message);
      if (close) socket.close(...close);
    });
    onTestFinished(() => {
      for (const socket of peer.clients) socket.terminate();
      peer.close();
    });
    const { port } = peer.address() as { port: number };
    return { heard, peer, stream: client(`http://127.0.0.1:${port}`).stream(hello(), { headers: bearer("nja_secret") }) };
  }

  test.each([
    ["a text", ["hello"]],
    ["an empty message", [new Uint8Array()]],
    ["a message shorter than its envelope", [event.subarray(0, event.length - 1)]],
    ["a message longer than its envelope", [new Uint8Array([...event, 0x78, 1])]],
    ["two envelopes in one message", [new Uint8Array([...event, ...event])]],
    ["something compressed", [encodeEnvelope(1, new Uint8Array([1]))]],
    ["the client's own flag", [encodeEnvelope(4, new TextEncoder().encode("{}"))]],
    ["no protobuf", [encodeEnvelope(0, new Uint8Array([255, 255, 255]))]],
    ["an end that is no JSON", [encodeEnvelope(2, new TextEncoder().encode("{"))]],
  ])("fails after %s", async (_, messages) => {
    const { stream, peer } = await call([event, ...messages, end]);
    const call_ = stream[Symbol.asyncIterator]();
    expect((await call_.next()).value?.events).toHaveLength(1); // what came before is taken
    const error = await call_.next().then(
      () => undefined,
      (thrown) => thrown,
    );
    expect(error).toBeInstanceOf(ConnectError);
    await eventually(() => peer.clients.size === 0);
  });

  test("fails where the end is missing", async () => {
    const { stream } = await call([event], [1001, ""]);
    await expect(failure(stream)).resolves.toMatchObject({ code: Code.Unavailable });
  });

  test("gives up on a reader that is too far behind, rather than fill the memory", async () => {
    const large = new Uint8Array(1 << 20);
    large.set([18, 0], 0); // an unknown field: it parses where it is read
    const { stream, peer } = await call([event]);
    const calling = stream[Symbol.asyncIterator]();
    await calling.next();
    for (const socket of peer.clients) for (let i = 0; i < 20; i++) socket.send(encodeEnvelope(0, large));
    await eventually(() => peer.clients.size === 0);
    const rest = await failure({ [Symbol.asyncIterator]: () => calling });
    expect(rest).toBeInstanceOf(ConnectError);
  });

  test("sends the token first, and in nothing but the first message", async () => {
    const { heard } = await call([event]);
    await eventually(() => heard.length >= 2);
    const [first, second] = heard.map((message) => Buffer.from(message)) as [Buffer, Buffer];
    expect(first[0]).toBe(4);
    expect(first.readUInt32BE(1)).toBe(first.length - 5);
    expect(JSON.parse(first.subarray(5).toString())).toEqual({ metadata: { authorization: ["Bearer nja_secret"] } });
    expect(second[0]).toBe(0);
    expect(second.includes("nja_secret")).toBe(false);
  });
});
