import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import {
  type Ack,
  AckSchema,
  type Event,
  type Goodbye,
  type HelloSchema,
  type StreamRequestSchema,
} from "@natterjack/proto/chat/v1/stream_pb.js";
import { PresenceState } from "@natterjack/proto/chat/v1/user_pb.js";
import type { ChatError } from "./api.js";
import { milliseconds, networkError, requestFailed, retryable, toChatError } from "./errors.js";
import { Outgoing } from "./outgoing.js";
import { bearer } from "./session.js";
import type { Say } from "./wire.js";

export type HelloInit = MessageInitShape<typeof HelloSchema>;

/** Times in milliseconds. */
export const times = {
  /** How long connecting may take, up to the server's ready. */
  handshake: 15_000,
  /** After how much silence of its own the client pings: a rule of the protocol. */
  ping: 25_000,
  /** How long the server has to be heard from after something has happened to the network or the page. */
  probe: 5_000,
  /** How long the end in good order may take. */
  leave: 500,
  /** After which time over Subscribe it is tried whether a WebSocket can be opened after all, first and from then on. */
  firstTry: 5_000,
  tryAgain: 10 * 60_000,
  /** After which time the server is asked again whom to watch, when it could not tell. */
  rewatch: 1_000,
  /** How long Subscribe waits for more changes before it is opened anew with what has changed. */
  reopen: 1_000,
};
export type Times = typeof times;

/** Assumed where the server names no interval. */
const defaultHeartbeat = 20_000;

/** Why a connection ended: the server said goodbye, there was an error, or this side wants to open another one. */
export type End = { readonly goodbye: Goodbye } | { readonly error: ChatError } | { readonly reopen: true };

export interface ConnectionOptions {
  readonly token: string;
  readonly hello: HelloInit;
  /** Users whose presence is wanted. */
  readonly watched: readonly string[];
  readonly times: Times;
  events(events: readonly Event[]): void;
  ready(): void;
  caughtUp(): void;
}

/** One connection of a link, from hello to its end. It is made for one call of {@link run}. */
export abstract class Connection {
  protected readonly cut = new AbortController();
  #cause: End | undefined;
  #silent = false;
  #probing = false;
  /** When something came last, and how often something has come. */
  #heard = 0;
  #messages = 0;
  #heartbeat = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(protected readonly options: ConnectionOptions) {}

  /** The server has answered hello. */
  get isReady(): boolean {
    return this.#heartbeat > 0;
  }

  /** Connects, and reads to the end. */
  async run(): Promise<End> {
    this.#timer = setTimeout(() => this.#giveUp("the server didn't answer in time"), this.options.times.handshake);
    try {
      for await (const { events } of this.open()) {
        this.#heard = Date.now();
        this.#messages++;
        const end = this.#take(events);
        if (end) return end;
        this.wasHeard();
      }
      return this.#cause ?? { error: networkError("the server ended the stream") };
    } catch (thrown) {
      return this.#cause ?? { error: toChatError(thrown) };
    } finally {
      clearTimeout(this.#timer);
      this.ended();
      this.cut.abort();
    }
  }

  /** The connection was ended because nothing came over it. */
  get wasSilent(): boolean {
    return this.#silent;
  }

  /** Ends the connection to open another one at once. */
  reopen(): void {
    this.#cause ??= { reopen: true };
    this.cut.abort();
  }

  /** Says something to the server. */
  abstract say(request: Say): Promise<Ack>;
  abstract watch(userIds: readonly string[]): void;
  abstract setInUse(inUse: boolean): void;
  /** Ends the connection, in good order where that is quick. */
  abstract leave(): void;

  /** Makes sure soon that the server is still there, after something has happened to the network or the page. */
  probe(): void {
    if (!this.isReady || this.#probing) return;
    this.#probing = true;
    const before = this.#messages;
    const silence = Date.now() - this.#heard;
    this.ask();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#probing = false;
      if (this.#messages === before && this.doubts(silence)) this.#giveUp("nothing is heard from the server");
      else this.#look();
    }, this.options.times.probe);
  }

  /** Opens the stream. */
  protected abstract open(): AsyncIterable<{ readonly events: Event[] }>;
  /** Asks for a sign of life, where that can be done. */
  protected abstract ask(): void;
  /** Whether silence for that long before the probe means that the connection is dead, when nothing has come since. */
  protected abstract doubts(silence: number): boolean;
  protected abstract answered(ack: Ack): void;
  protected abstract refused(requestId: bigint, error: ChatError): void;
  /** Something was heard; timers of pages that aren't shown run late, messages don't. */
  protected abstract wasHeard(): void;
  protected abstract ended(): void;

  protected get heartbeat(): number {
    return this.#heartbeat;
  }

  #take(events: readonly Event[]): End | undefined {
    let end: End | undefined;
    const forModel: Event[] = [];
    for (const event of events) {
      const { case: kind, value } = event.event;
      switch (kind) {
        case "heartbeat":
          continue;
        case "ack":
          this.answered(value);
          continue;
        case "error":
          if (!this.isReady)
            end ??= { error: requestFailed(value) }; // a goodbye that follows says less
          else this.refused(value.requestId, requestFailed(value));
          continue;
        case "goodbye":
          end ??= { goodbye: value };
          continue;
        case "ready":
          this.#begin(value.heartbeatInterval ? milliseconds(value.heartbeatInterval) : 0);
          break;
      }
      forModel.push(event);
    }
    if (forModel.length > 0) this.options.events(forModel);
    if (!end && forModel.some((event) => event.event.case === "caughtUp")) this.options.caughtUp();
    return end;
  }

  #begin(heartbeat: number): void {
    this.#heartbeat = heartbeat > 0 ? heartbeat : defaultHeartbeat;
    this.options.ready();
    this.#look();
  }

  /** Ends the connection because nothing comes over it. */
  #giveUp(message: string): void {
    this.#silent = true;
    this.#cause ??= { error: networkError(message) };
    this.cut.abort();
  }

  /** Ends the connection if nothing was heard for twice the server's interval; else looks again when that may be so. */
  #look(): void {
    const left = this.#heard + 2 * this.#heartbeat - Date.now();
    clearTimeout(this.#timer);
    if (left <= 0) this.#giveUp("nothing is heard from the server");
    else this.#timer = setTimeout(() => this.#look(), left);
  }
}

/** A connection over the bidirectional stream. */
export class StreamConnection extends Connection {
  readonly #requests = new Outgoing<MessageInitShape<typeof StreamRequestSchema>>();
  readonly #asked = new Map<bigint, { resolve(ack: Ack): void; reject(error: ChatError): void }>();
  readonly #client: Client<typeof ChatService>;
  #lastId = 0n;
  #said = 0;
  #pingTimer: ReturnType<typeof setTimeout> | undefined;
  /** The last request that said whom to watch. */
  #watch: { readonly id: bigint; readonly userIds: readonly string[] } | undefined;
  #watchTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(transport: Transport, options: ConnectionOptions) {
    super(options);
    this.#client = createClient(ChatService, transport);
  }

  override say(request: Say): Promise<Ack> {
    if (!this.isReady || this.cut.signal.aborted) return Promise.reject(networkError("there is no connection"));
    return new Promise((resolve, reject) => {
      this.#asked.set(this.#push(request), { resolve, reject });
    });
  }

  override watch(userIds: readonly string[]): void {
    clearTimeout(this.#watchTimer);
    this.#watch = { id: this.#push({ case: "watchPresence", value: { userIds: [...userIds] } }), userIds };
  }

  override setInUse(inUse: boolean): void {
    this.#push({ case: "setPresence", value: { state: presence(inUse) } });
  }

  override leave(): void {
    this.#requests.end();
    const timer = setTimeout(() => this.cut.abort(), this.options.times.leave);
    this.cut.signal.addEventListener("abort", () => clearTimeout(timer));
  }

  protected override open() {
    this.#push({ case: "hello", value: this.options.hello });
    if (this.options.watched.length > 0) this.watch(this.options.watched);
    return this.#client.stream(this.#requests, { headers: bearer(this.options.token), signal: this.cut.signal });
  }

  protected override ask(): void {
    this.#push({ case: "ping", value: {} });
  }

  protected override doubts(): boolean {
    return true; // the ping wasn't answered
  }

  protected override answered(ack: Ack): void {
    this.#asked.get(ack.requestId)?.resolve(ack);
    this.#asked.delete(ack.requestId);
  }

  protected override refused(requestId: bigint, error: ChatError): void {
    this.#asked.get(requestId)?.reject(error);
    this.#asked.delete(requestId);
    const watch = this.#watch;
    if (requestId === watch?.id && retryable(error)) {
      this.#watchTimer = setTimeout(() => this.watch(watch.userIds), Math.max(error.retryAfter ?? 0, this.options.times.rewatch));
    }
  }

  protected override wasHeard(): void {
    if (this.#pingTimer === undefined) this.#pingWhenSilent();
    // The timer may be late, and the server waits for no more than 90 seconds: each of its heartbeats is an occasion too.
    else if (Date.now() - this.#said >= this.options.times.ping) this.ask();
  }

  protected override ended(): void {
    clearTimeout(this.#pingTimer);
    clearTimeout(this.#watchTimer);
    this.#requests.end();
    for (const { reject } of this.#asked.values()) reject(networkError("the connection was cut before the answer came"));
    this.#asked.clear();
  }

  #push(request: MessageInitShape<typeof StreamRequestSchema>["request"]): bigint {
    const requestId = ++this.#lastId;
    this.#said = Date.now();
    this.#requests.push({ requestId, request } as MessageInitShape<typeof StreamRequestSchema>);
    return requestId;
  }

  #pingWhenSilent(): void {
    const left = this.#said + this.options.times.ping - Date.now();
    if (left <= 0) this.ask();
    this.#pingTimer = setTimeout(() => this.#pingWhenSilent(), left > 0 ? left : this.options.times.ping);
  }
}

/** A connection over Subscribe and unary calls, for where nothing on the way lets a WebSocket pass. */
export class SubscribeConnection extends Connection {
  readonly #client: Client<typeof ChatService>;
  /** The last thing of each kind that was said, for the next to come after it. */
  readonly #last = new Map<Say["case"], Promise<unknown>>();
  #reopening: ReturnType<typeof setTimeout> | undefined;

  /** `calls` carries what is said, with the session's token. */
  constructor(
    transport: Transport,
    private readonly calls: Client<typeof ChatService>,
    options: ConnectionOptions,
  ) {
    super(options);
    this.#client = createClient(ChatService, transport);
  }

  override say(request: Say): Promise<Ack> {
    if (!this.isReady || this.cut.signal.aborted) return Promise.reject(networkError("there is no connection"));
    const answer = (this.#last.get(request.case) ?? Promise.resolve()).then(() => this.#call(request));
    this.#last.set(
      request.case,
      answer.catch(() => undefined),
    );
    return answer;
  }

  // Both are said when the stream is opened, and not after: it is opened anew.
  override watch(): void {
    this.#reopenSoon();
  }

  override setInUse(): void {
    this.#reopenSoon();
  }

  override leave(): void {
    this.cut.abort();
  }

  protected override open() {
    return this.#client.subscribe(
      { hello: this.options.hello, watchUserIds: [...this.options.watched] },
      { headers: bearer(this.options.token), signal: this.cut.signal },
    );
  }

  protected override ask(): void {}

  protected override doubts(silence: number): boolean {
    return silence > this.heartbeat;
  }

  protected override answered(): void {}
  protected override refused(): void {}
  protected override wasHeard(): void {}

  protected override ended(): void {
    clearTimeout(this.#reopening);
  }

  #reopenSoon(): void {
    this.#reopening ??= setTimeout(() => this.reopen(), this.options.times.reopen);
  }

  async #call(request: Say): Promise<Ack> {
    switch (request.case) {
      case "sendMessage": {
        const { message, duplicate } = await this.calls.sendMessage(request.value);
        return create(AckSchema, {
          messageId: message?.id ?? "",
          seq: message?.seq ?? 0n,
          ...(message?.timestamp && { timestamp: message.timestamp }),
          duplicate,
        });
      }
      case "typing":
        await this.calls.setTyping(request.value);
        return create(AckSchema);
      case "markRead":
        return create(AckSchema, { seq: (await this.calls.markRead(request.value)).receipt?.readSeq ?? 0n });
      case "markDelivered":
        return create(AckSchema, { seq: (await this.calls.markDelivered(request.value)).receipt?.deliveredSeq ?? 0n });
    }
  }
}

/** What is said of a device that is in use, or is not. */
export function presence(inUse: boolean): PresenceState {
  return inUse ? PresenceState.ONLINE : PresenceState.AWAY;
}
