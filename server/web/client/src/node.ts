import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { http2Network, type Network } from "./network.js";

/** How Node reaches a server: all over one HTTP/2 connection, with or without TLS. Needs the package @connectrpc/connect-node. */
export function nodeNetwork(serverUrl: string): Network {
  // Without pings: the link has heartbeats of its own, and drops a connection over which none comes.
  const sessionManager = new Http2SessionManager(serverUrl);
  const transport = createConnectTransport({ httpVersion: "2", baseUrl: serverUrl, sessionManager, useBinaryFormat: true });
  const renew = () => sessionManager.abort();
  return { ...http2Network(transport), renew, close: renew };
}
