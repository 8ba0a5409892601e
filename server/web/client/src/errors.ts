import type { Duration } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { type ErrorDetail, ErrorDetailSchema, ErrorReason } from "@natterjack/proto/chat/v1/error_pb.js";
import type { RequestError } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { ChatError } from "./api.js";

/** What a {@link ChatError} says, without the stack: can be stored, and posted to other tabs. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly reason?: string;
  readonly field?: string;
  readonly retryAfter?: number;
}

class NatterjackError extends Error implements ChatError {
  override readonly name = "ChatError";
  readonly code: string;
  readonly reason: string;
  readonly field: string;
  declare readonly retryAfter?: number;

  constructor(failure: Failure, cause?: unknown) {
    super(failure.message, cause === undefined ? undefined : { cause });
    this.code = failure.code;
    this.reason = failure.reason ?? "";
    this.field = failure.field ?? "";
    if (failure.retryAfter !== undefined) this.retryAfter = failure.retryAfter;
  }
}

/** Makes an error. */
export function chatError(failure: Failure, cause?: unknown): ChatError {
  return new NatterjackError(failure, cause);
}

/** Says that the server was not reached, or that its answer was lost. */
export function networkError(message: string, cause?: unknown): ChatError {
  return chatError({ code: "network", message }, cause);
}

export function isChatError(error: unknown): error is ChatError {
  return error instanceof NatterjackError;
}

/** What an error says, for a place where it can't stay an object of this class. */
export function failureOf(error: ChatError): Failure {
  const { code, message, reason, field, retryAfter } = error;
  return { code, message, reason, field, ...(retryAfter === undefined ? {} : { retryAfter }) };
}

/** Whether the same request may succeed later. */
export function retryable(e: ChatError): boolean {
  if (e.retryAfter !== undefined) {
    return true;
  }
  switch (e.code) {
    case "unavailable":
    case "deadline_exceeded":
    case "aborted":
    case "canceled":
      return true;
    case "resource_exhausted":
      return e.reason === "RATE_LIMITED" || e.reason === "STORE_FULL";
    default:
      return false;
  }
}

// What something between client and server, or the client's own network, causes as well. Natterjack itself attaches a detail to each error.
const ambiguous: ReadonlySet<Code> = new Set([
  Code.Canceled, // how HTTP/2 tells of a connection whose other side was killed
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.ResourceExhausted,
  Code.Aborted,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
  Code.Unauthenticated,
]);

/**
 * Makes a ChatError of whatever was thrown. Without a detail of Natterjack's the error came from a proxy, a browser or a cut connection: such are
 * "network", so that no proxy's 401 or 503 can be taken for the server's word.
 */
export function toChatError(error: unknown): ChatError {
  if (isChatError(error)) return error;
  if (!(error instanceof ConnectError)) {
    return chatError({ code: "internal", message: error instanceof Error ? error.message : String(error) }, error);
  }
  const detail = error.findDetails(ErrorDetailSchema)[0];
  if (!detail && ambiguous.has(error.code)) return networkError(error.rawMessage || "the server was not reached", error);
  return withDetail(error.code, error.rawMessage, detail, error);
}

/** The error of a request on a stream. */
export function requestFailed(refusal: RequestError): ChatError {
  return withDetail(refusal.code as Code, refusal.message, refusal.detail);
}

function withDetail(code: Code, message: string, detail?: ErrorDetail, cause?: unknown): ChatError {
  const name = codeToString(code);
  const retryAfter = detail?.retryAfter && milliseconds(detail.retryAfter);
  return chatError(
    {
      code: name,
      message: message || name,
      reason: (detail?.reason && ErrorReason[detail.reason]) || "",
      field: detail?.field ?? "",
      ...(retryAfter === undefined ? {} : { retryAfter }),
    },
    cause,
  );
}

/** A duration in milliseconds. */
export function milliseconds(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}
