import type { DescMessage } from "@bufbuild/protobuf";
import { createClient, type StreamResponse, type Transport } from "@connectrpc/connect";
import { AuthService } from "@natterjack/proto/auth/v1/auth_service_pb.js";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import { toChatError } from "./errors.js";
import type { Calls, Session } from "./wire.js";

/** Bounds a unary call, in milliseconds: longer than the server takes at most under load, shorter than a user waits. */
const callTimeout = 20_000;

/** Makes calls with the session's token. */
export function createCalls(session: Session, transport: Transport): Calls {
  const authorized = withSession(session, transport);
  return { chat: createClient(ChatService, authorized), auth: createClient(AuthService, authorized) };
}

/** A transport that adds the session's token; a unary call whose token was refused is repeated once with a new one. All errors are ChatErrors. */
export function withSession(session: Session, transport: Transport): Transport {
  const withToken = async <R>(call: (header: Headers) => Promise<R>, header: HeadersInit | undefined): Promise<R> => {
    const attempt = (token: string) => {
      const headers = new Headers(header);
      headers.set("authorization", `Bearer ${token}`);
      return call(headers);
    };
    const token = await session.accessToken();
    try {
      return await attempt(token);
    } catch (thrown) {
      const error = toChatError(thrown);
      if (error.code !== "unauthenticated" || error.reason === "WRONG_CREDENTIALS") throw error;
      return attempt(await session.accessToken(token)).catch((again) => Promise.reject(toChatError(again)));
    }
  };
  return {
    unary: (method, signal, timeoutMs, header, input, contextValues) =>
      withToken((headers) => transport.unary(method, signal, timeoutMs ?? callTimeout, headers, input, contextValues), header),
    stream: (method, signal, timeoutMs, header, input, contextValues) =>
      withToken((headers) => transport.stream(method, signal, timeoutMs, headers, input, contextValues), header).then(told),
  };
}

/** A stream whose errors are ChatErrors. */
function told<I extends DescMessage, O extends DescMessage>(response: StreamResponse<I, O>): StreamResponse<I, O> {
  const { message } = response;
  async function* messages() {
    try {
      yield* message;
    } catch (error) {
      throw toChatError(error);
    }
  }
  return { ...response, message: messages() };
}
