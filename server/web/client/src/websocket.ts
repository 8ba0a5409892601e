import type { DescMessage, DescMethodStreaming, MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Interceptor, type Transport } from "@connectrpc/connect";
import { createClientMethodSerializers, createMethodUrl, encodeEnvelope, runStreamingCall } from "@connectrpc/connect/protocol";
import { endStreamFlag, endStreamFromJson } from "@connectrpc/connect/protocol-connect";

/** The subprotocol: each binary message is one envelope of Connect's streaming protocol, see api/README.md of Natterjack. */
export const subprotocol = "natterjack.chat.v1.proto";

/** The flag of the first envelope, which carries the request's headers. */
const metadataFlag = 4;
/** How long opening may take, in milliseconds. */
const openTimeout = 10_000;
/** How many bytes may wait to be sent before the next message waits too. */
const maxUnsent = 1 << 18;
/** How many bytes of answers may wait to be read; a reader that is further behind is cut off, as a WebSocket cannot be told to pause. */
const maxUnread = 1 << 24;

/** What is used of a WebSocket: those of browsers and of the package "ws" will do. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "open" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "close", listener: (event: { readonly code: number; readonly reason: string }) => void): void;
}

export type WebSocketConstructor = new (url: string, protocols: string) => WebSocketLike;

export interface WebSocketTransportOptions {
  /** Where the server is: scheme, host, port. */
  readonly baseUrl: string;
  /** Carries what needs no stream from the client: unary and server-streaming methods. */
  readonly transport: Transport;
  readonly interceptors?: Interceptor[];
  /** The WebSocket to use; the global one where it is left out. */
  readonly webSocket?: WebSocketConstructor;
}

/** The WebSocket could not be opened: the server is not there, or something on the way lets none pass. */
export class NotOpened extends Error {
  override readonly name = "NotOpened";
}

/**
 * A transport with which generated clients can call bidirectional methods in a browser: `createClient(ChatService, transport).stream(requests)`. Each call has a
 * WebSocket of its own. Headers go in the first message, as browsers can't set those of the handshake; timeouts end the call on this side only.
 */
export function createWebSocketTransport(options: WebSocketTransportOptions): Transport {
  return {
    unary: options.transport.unary.bind(options.transport),
    stream(method, signal, timeoutMs, header, input, contextValues) {
      if (method.methodKind === "server_streaming") {
        return options.transport.stream(method, signal, timeoutMs, header, input, contextValues);
      }
      return runStreamingCall({
        ...(options.interceptors && { interceptors: options.interceptors }),
        ...(signal && { signal }),
        ...(timeoutMs !== undefined && timeoutMs > 0 && { timeoutMs }),
        req: {
          stream: true,
          service: method.parent,
          method,
          requestMethod: "GET",
          url: createMethodUrl(options.baseUrl, method),
          header: new Headers(header),
          contextValues: contextValues ?? createContextValues(),
          message: input,
        },
        async next(req) {
          const { serialize, parse } = createClientMethodSerializers(method, true);
          const envelopes = new Envelopes(await openSocket(req.url, req.signal, options.webSocket), req.signal);
          envelopes.send(metadataFlag, metadata(req.header));
          void pump(req.message, envelopes, serialize);
          const trailer = new Headers();
          return { ...req, header: new Headers(), trailer, message: responses(envelopes, parse, trailer) };
        },
      });
    },
  };
}

/** Whether a WebSocket can be opened to the method; it is closed again at once. */
export async function canOpen(
  baseUrl: string,
  method: DescMethodStreaming,
  signal: AbortSignal,
  webSocket?: WebSocketConstructor,
): Promise<boolean> {
  try {
    const socket = await openSocket(createMethodUrl(baseUrl, method), signal, webSocket);
    socket.close(1000);
    return true;
  } catch {
    return false;
  }
}

/** The request's headers as the first message carries them. */
function metadata(header: Headers): Uint8Array {
  const values: Record<string, string[]> = {};
  header.forEach((value, name) => {
    values[name] = [value];
  });
  return new TextEncoder().encode(JSON.stringify({ metadata: values }));
}

/** Opens a WebSocket. The promise is rejected with a ConnectError, whose cause is {@link NotOpened} unless it was aborted. */
function openSocket(httpUrl: string, signal: AbortSignal, webSocket?: WebSocketConstructor): Promise<WebSocketLike> {
  return new Promise((resolve, reject) => {
    const fail = (message: string, cause?: unknown) => {
      leave();
      reject(new ConnectError(message, Code.Unavailable, undefined, undefined, new NotOpened(message, { cause })));
    };
    const aborted = () => {
      leave();
      socket?.close();
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      fail("the WebSocket didn't open in time");
      socket?.close();
    }, openTimeout);
    const leave = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
    };
    let socket: WebSocketLike | undefined;
    if (signal.aborted) return aborted();
    try {
      const WebSocket = webSocket ?? (globalThis.WebSocket as unknown as WebSocketConstructor | undefined);
      if (!WebSocket) return fail("there is no WebSocket here");
      const opening = new WebSocket(httpUrl.replace(/^http/, "ws"), subprotocol);
      socket = opening;
      opening.binaryType = "arraybuffer";
      opening.addEventListener("error", () => fail("the WebSocket didn't open"));
      opening.addEventListener("close", (event) => fail(`the WebSocket didn't open (${event.code})`));
      opening.addEventListener("open", () => {
        leave();
        resolve(opening);
      });
      signal.addEventListener("abort", aborted);
    } catch (error) {
      fail("the WebSocket didn't open", error);
    }
  });
}

/** Sends the requests as they come, and says when there are no more. */
async function pump<T>(requests: AsyncIterable<T>, envelopes: Envelopes, serialize: (request: T) => Uint8Array): Promise<void> {
  try {
    for await (const request of requests) {
      await envelopes.room();
      if (!envelopes.send(0, serialize(request))) return;
    }
    envelopes.send(endStreamFlag, new Uint8Array());
  } catch (error) {
    envelopes.fail(ConnectError.from(error, Code.Internal));
  }
}

async function* responses<O extends DescMessage>(
  envelopes: Envelopes,
  parse: (data: Uint8Array) => MessageShape<O>,
  trailer: Headers,
): AsyncGenerator<MessageShape<O>> {
  for (;;) {
    const { flags, data } = await envelopes.receive();
    if (flags === 0) {
      yield parse(data);
      continue;
    }
    if (flags !== endStreamFlag) throw malformed(`an envelope with the flags ${flags}`);
    const end = endStreamFromJson(data);
    end.metadata.forEach((value, name) => {
      trailer.append(name, value);
    });
    if (end.error) throw end.error;
    return;
  }
}

interface Envelope {
  readonly flags: number;
  readonly data: Uint8Array;
}

/** The envelopes of one open WebSocket; it is closed when the signal is aborted. */
class Envelopes {
  readonly #socket: WebSocketLike;
  readonly #unread: Envelope[] = [];
  #unreadBytes = 0;
  #next: { resolve(envelope: Envelope): void; reject(error: unknown): void } | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(socket: WebSocketLike, signal: AbortSignal) {
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#arrived(event.data));
    socket.addEventListener("close", (event) =>
      this.fail(new ConnectError(event.reason || `the WebSocket was cut (${event.code})`, Code.Unavailable)),
    );
    signal.addEventListener("abort", () => this.fail(signal.reason), { once: true });
    if (signal.aborted) this.fail(signal.reason);
  }

  /** Sends an envelope; false where the connection has ended. */
  send(flags: number, data: Uint8Array): boolean {
    if (this.#failure) return false;
    this.#socket.send(encodeEnvelope(flags, data));
    return true;
  }

  /** Waits until not too much waits to be sent. A WebSocket doesn't tell when that is so; it has to be asked. */
  async room(): Promise<void> {
    while (this.#socket.bufferedAmount > maxUnsent && !this.#failure) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** The next envelope; rejected with what has ended the connection, once all that came before was taken. */
  receive(): Promise<Envelope> {
    const envelope = this.#unread.shift();
    if (envelope) {
      this.#unreadBytes -= envelope.data.length;
      return Promise.resolve(envelope);
    }
    if (this.#failure) return Promise.reject(this.#failure.error);
    return new Promise((resolve, reject) => {
      this.#next = { resolve, reject };
    });
  }

  /** Ends the connection, if it hasn't ended. */
  fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = { error };
    this.#socket.close(1000);
    this.#next?.reject(error);
    this.#next = undefined;
  }

  #arrived(message: unknown): void {
    if (this.#failure) return;
    const envelope = decode(message);
    if (!envelope) {
      this.fail(malformed("a message that is no envelope"));
    } else if (this.#next) {
      this.#next.resolve(envelope);
      this.#next = undefined;
    } else {
      this.#unread.push(envelope);
      this.#unreadBytes += envelope.data.length;
      if (this.#unreadBytes > maxUnread) this.fail(new ConnectError("too many answers wait to be read", Code.ResourceExhausted));
    }
  }
}

function decode(message: unknown): Envelope | undefined {
  if (!(message instanceof ArrayBuffer) || message.byteLength < 5) return undefined;
  const view = new DataView(message);
  if (view.getUint32(1) !== message.byteLength - 5) return undefined;
  return { flags: view.getUint8(0), data: new Uint8Array(message, 5) };
}

function malformed(what: string): ConnectError {
  return new ConnectError(`the server sent ${what}`, Code.Internal);
}
