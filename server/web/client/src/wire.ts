/** What the model of a chat needs of the network: a session, calls, and one stream that comes back by itself. Generated types stop at the model. */

import type { Client } from "@connectrpc/connect";
import type { AuthService } from "@natterjack/proto/auth/v1/auth_service_pb.js";
import type { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import type { Ack, Event, Hello, StreamRequest } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { ConnectionState, Observable } from "./api.js";

/** Why nobody is signed in any more: the server ended the session, it was not used for too long, or the user has signed out. */
export type Ended = "revoked" | "expired" | "signed-out";

/** Keeps the session. Of several tabs (or processes) one refreshes at a time, and all use what it got. */
export interface Session {
  /** The id of the signed-in user; undefined where nobody is; null until it was read from where it is kept. */
  readonly userId: Observable<string | undefined | null>;
  /** Why the last session ended; undefined while there is one, where there never was, or where it can't be read. */
  readonly ended: Observable<Ended | undefined>;
  signUp(form: { username: string; password: string; displayName?: string }): Promise<void>;
  signIn(form: { username: string; password: string }): Promise<void>;
  /** Forgets the session here at once, and ends it at the server if that can be reached. */
  signOut(): Promise<void>;
  /**
   * A token that is valid for some time yet, and is not `stale`, one that the server has refused; refreshes where needed. Rejects with a ChatError:
   * "unauthenticated" ended the session, "network" did not.
   */
  accessToken(stale?: string): Promise<string>;
  close(): void;
}

/** Unary calls with the session's token; refreshed and repeated once where the token has run out. All errors are ChatErrors. */
export interface Calls {
  readonly chat: Client<typeof ChatService>;
  readonly auth: Client<typeof AuthService>;
}

/** One of the things a client says on a stream, but hello, ping and presence, which the link says by itself. */
export type Say = Exclude<StreamRequest["request"], { case: "hello" | "ping" | "watchPresence" | "setPresence" | undefined }>;

/** The stream of one device. */
export interface Link {
  readonly state: Observable<ConnectionState>;
  start(): void;
  /** Ends the stream in good order; `start` begins anew. */
  stop(): void;
  /** Connects now instead of at the next attempt. */
  reconnect(): void;
  /**
   * Says something, over the stream or, where only Subscribe works, by the unary call. Requests of one kind keep their order. Rejects with a ChatError: with
   * code "network" where it isn't known whether it was carried out (the stream was cut) or there is no connection; requests are never repeated here.
   */
  say(request: Say): Promise<Ack>;
  /** Replaces the set of users whose presence is wanted, at most 200; said again on every new stream. */
  watch(userIds: readonly string[]): void;
  /** Says whether this device is in use; said again on every new stream. Until it is called, whether the page is shown decides. */
  setInUse(inUse: boolean): void;
}

export interface LinkOptions {
  readonly session: Session;
  readonly calls: Calls;
  /** Where the client stands; asked for each new stream. Device id and attempt are the link's. */
  hello(): Promise<Pick<Hello, "token" | "positions">>;
  /** All that the server says, in order, but acks, errors, heartbeats and goodbyes, which the link deals with. */
  events(events: readonly Event[]): void;
}
