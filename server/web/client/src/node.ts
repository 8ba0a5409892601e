import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { http2Network, type Network } from "./network.js";

/**
 * How Node reaches a server: all over one HTTP/2 connection, with or without TLS. Needs the package @connectrpc/connect-node.
 * A connection that has died unnoticed is found by its pings.
 */
export function nodeNetwork(serverUrl: string): Network {
  const sessionManager = new Http2SessionManager(serverUrl, { pingIntervalMs: 20_000, pingTimeoutMs: 5_000 });
  const transport = createConnectTransport({ httpVersion: "2", baseUrl: serverUrl, sessionManager, useBinaryFormat: true });
  return { ...http2Network(transport), close: () => sessionManager.abort() };
}
