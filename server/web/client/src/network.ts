import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import { canOpen, createWebSocketTransport, type WebSocketConstructor } from "./websocket.js";

/** How to reach the server. */
export interface Network {
  /** Carries unary calls and Subscribe. */
  readonly calls: Transport;
  /** Carries Stream. */
  readonly streams: Transport;
  readonly over: "websocket" | "http2";
  /** Tries whether Stream can be opened now; where this is set, Subscribe takes its place while it can't. */
  readonly probe?: (signal: AbortSignal) => Promise<boolean>;
  /** Drops connections over which nothing comes any more, so that the next stream isn't opened on one of them. */
  readonly renew?: () => void;
  /** Lets go of connections that are kept open: in Node they would keep the process running. */
  readonly close?: () => void;
}

/** What browsers, and programs without HTTP/2, have: calls by fetch, the stream over a WebSocket. */
export function browserNetwork(serverUrl?: string, webSocket?: WebSocketConstructor): Network {
  const baseUrl = origin(serverUrl);
  const calls = createConnectTransport({ baseUrl, useBinaryFormat: true, fetch: abortable });
  return {
    calls,
    streams: createWebSocketTransport({ baseUrl, transport: calls, ...(webSocket && { webSocket }) }),
    over: "websocket",
    probe: (signal) => canOpen(baseUrl, ChatService.method.stream, signal, webSocket),
  };
}

/** As fetch. But that of Node 20 forgets its signal when garbage is collected while an answer comes: what was to end would go on for ever. */
const abortable: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  const { signal } = init ?? {};
  return response.body && signal
    ? new Response(response.body.pipeThrough(new TransformStream(), { signal }), response)
    : response;
};

/** A transport that can do all, over HTTP/2: one of @connectrpc/connect-node. */
export function http2Network(transport: Transport): Network {
  return { calls: transport, streams: transport, over: "http2" };
}

function origin(serverUrl: string | undefined): string {
  const url = serverUrl ?? globalThis.location?.origin;
  if (!url || url === "null") throw new TypeError("serverUrl is needed: this is no page that has come from a server");
  return url.replace(/\/+$/, "");
}
