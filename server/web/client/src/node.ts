import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { http2Network, type Network } from "./network.js";

/** How Node reaches a server: all over one HTTP/2 connection, with or without TLS. Needs the package @connectrpc/connect-node. */
export function nodeNetwork(serverUrl: string): Network {
  // Without pings, whose failures nothing can catch: the link has heartbeats of its own, and drops a connection over which none comes.
  const sessionManager = new Http2SessionManager(serverUrl);
  const renew = () => sessionManager.abort();
  // A call without an answer says the same of the connection.
  const renewAfterSilence: Interceptor = (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      const timedOut = request.signal.aborted && ConnectError.from(request.signal.reason).code === Code.DeadlineExceeded;
      if (!request.stream && timedOut) renew();
      throw error;
    }
  };
  const transport = createConnectTransport({
    httpVersion: "2",
    baseUrl: serverUrl,
    sessionManager,
    useBinaryFormat: true,
    interceptors: [renewAfterSilence],
  });
  return { ...http2Network(transport), renew, close: renew };
}
