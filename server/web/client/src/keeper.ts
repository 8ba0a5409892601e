import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ListMessagesRequestSchema } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import type { ChatError } from "./api.js";
import { chatError, toChatError } from "./errors.js";
import type { Model } from "./model/model.js";
import type { Piece, Place } from "./model/piece.js";
import { type StoredMessage, type Tail, toMessage } from "./model/records.js";
import { backoff } from "./retries.js";
import type { Calls } from "./wire.js";

/** A piece that misses more events than this is read anew instead. */
const maxRepair = 1000;
/** How many events one ListEvents may return (a rule of the schema). */
const maxEvents = 500;
/** How many messages of a piece are kept for the next time. */
export const tailLength = 200;

/** What a keeper needs. */
export interface KeeperOptions {
  readonly model: Model;
  readonly calls: Calls;
  /** The server can be asked, and what is missing doesn't come by itself. */
  live(): boolean;
  /** Fetches a conversation's summary into the model. */
  fetchConversation(id: string): Promise<void>;
  /** Own messages among those that were read: the outbox is done with them. */
  seen(messages: readonly StoredMessage[]): void;
}

type Where = Pick<MessageInitShape<typeof ListMessagesRequestSchema>, "beforeSeq" | "afterSeq" | "aroundSeq" | "limit">;

/** Keeps one piece of a conversation current: fetches what events didn't tell, and reads it anew where that is too much. */
export class Keeper {
  readonly piece: Piece;
  readonly conversationId: string;
  /** Why the piece couldn't be read; undefined where it could. */
  error: ChatError | undefined;
  /** Where the piece is read anew from; undefined: from the newest message. */
  anchor: number | undefined;

  readonly #options: KeeperOptions;
  readonly #changed: () => void;
  readonly #limit: number;
  readonly #loads = new Map<Place, Promise<void>>();
  #begun = false;
  #repairing = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** `limit` is the number of messages of a page; `changed` is called when the piece, or a state of it here, has changed. */
  constructor(options: KeeperOptions, conversationId: string, limit: number, changed: () => void) {
    this.#options = options;
    this.conversationId = conversationId;
    this.#limit = limit;
    this.#changed = changed;
    this.piece = options.model.pieces.open(conversationId, () => this.#heard());
  }

  loading(place: Place): boolean {
    return this.#loads.has(place);
  }

  /** Begins, with what was kept if anything was. */
  begin(tail?: Tail): void {
    this.#begun = true;
    if (tail && !this.piece.loaded && this.#known) {
      this.piece.restore(tail);
    }
    this.check();
  }

  /** Does what is needed: reads the piece, or fetches what it misses. Call it when something may have changed. */
  check(): void {
    if (!this.#begun || this.#closed || this.#timer !== undefined || !this.#options.live()) {
      return;
    }
    if (!this.#known) {
      void this.#find();
    } else if (this.piece.stale) {
      void this.load("replace");
    } else if (this.piece.behind) {
      void this.#repair();
    }
  }

  /**
   * Loads a page; calls for the same place share one load. With `where` it is that page and no other: a load that is under way comes to nothing. Failures
   * are told in `error`.
   */
  load(place: Place, where?: Where): Promise<void> {
    const running = this.#loads.get(place);
    if (running && !where) {
      return running;
    }
    const load = this.#load(place, where ?? this.#where(place)).finally(() => {
      if (this.#loads.get(place) === load) {
        this.#loads.delete(place);
        this.#changed();
      }
    });
    this.#loads.set(place, load);
    this.#changed();
    return load;
  }

  close(): Tail | undefined {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#options.model.pieces.close(this.conversationId, this.piece);
    return this.tail();
  }

  tail(): Tail | undefined {
    return this.piece.tail(this.conversationId, tailLength);
  }

  get #known(): boolean {
    return this.#options.model.state(this.conversationId) !== undefined;
  }

  #heard(): void {
    this.#changed();
    if (this.piece.stale || this.piece.behind) {
      this.check();
    }
  }

  #where(place: Place): Where {
    switch (place) {
      case "older":
        return { beforeSeq: BigInt(this.piece.first) };
      case "newer":
        return { afterSeq: BigInt(this.piece.last) };
      case "replace":
        return this.anchor === undefined ? {} : { aroundSeq: BigInt(this.anchor) };
    }
  }

  async #load(place: Place, where: Where): Promise<void> {
    const load = this.piece.begin(place);
    try {
      const request = create(ListMessagesRequestSchema, { limit: this.#limit, ...where, conversationId: this.conversationId });
      const page = await this.#options.calls.chat.listMessages(request);
      const messages = page.messages.map(toMessage);
      this.#read(page.messages.filter((m) => m.read && m.senderId === this.#options.model.self).at(-1)?.seq);
      this.#options.seen(messages);
      this.piece.end(load, { messages, hasOlder: page.hasOlder, hasNewer: page.hasNewer });
      this.error = undefined;
      this.#failures = 0;
    } catch (thrown) {
      this.piece.end(load, undefined);
      this.#failed(toChatError(thrown));
    }
  }

  /** Others have read up to an own message: in large conversations pages alone tell. */
  #read(seq: bigint | undefined): void {
    if (seq !== undefined) {
      const marks = { userId: "", readSeq: Number(seq), deliveredSeq: Number(seq), readTime: 0 };
      this.#options.model.marks(this.conversationId, marks, true);
    }
  }

  async #find(): Promise<void> {
    if (this.#options.model.gone(this.conversationId)) {
      if (this.error?.code !== "not_found") {
        this.error = chatError({ code: "not_found", message: "you are not in this conversation any more" });
        this.#changed();
      }
    } else if (!this.#repairing) {
      this.#repairing = true;
      try {
        await this.#options.fetchConversation(this.conversationId);
        this.error = undefined;
      } catch (thrown) {
        this.#failed(toChatError(thrown));
      }
      this.#repairing = false;
      this.#changed();
    }
  }

  async #repair(): Promise<void> {
    if (this.#repairing) {
      return;
    }
    this.#repairing = true;
    while (!this.#closed && this.piece.behind && !this.piece.stale && this.#options.live()) {
      if (this.piece.known - this.piece.cursor > maxRepair) {
        this.piece.stale = true;
        break;
      }
      const { cursor } = this.piece;
      try {
        const positions = [{ conversationId: this.conversationId, seq: BigInt(cursor) }];
        const page = await this.#options.calls.chat.listEvents({ positions, limit: maxEvents });
        this.#options.model.fetched(page.events);
        if (this.piece.cursor > cursor) {
          this.#failures = 0;
          continue;
        }
        this.#later(); // the server is behind what it told: ask again
      } catch (thrown) {
        this.#failed(toChatError(thrown));
      }
      break;
    }
    this.#repairing = false;
    if (this.piece.stale) {
      this.check();
    }
  }

  #failed(error: ChatError): void {
    this.error = error;
    if (error.code !== "not_found" && error.code !== "permission_denied" && error.code !== "invalid_argument") {
      this.#later();
    }
  }

  #later(): void {
    if (!this.#closed && this.#timer === undefined) {
      this.#timer = setTimeout(
        () => {
          this.#timer = undefined;
          this.check();
        },
        backoff(this.#failures++),
      );
    }
  }
}
