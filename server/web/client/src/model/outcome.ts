import type { Conversation, Message, User } from "../api.js";
import type { StoredConversation, StoredMessage } from "./records.js";

/** What has happened that the model can't act on by itself; taken with {@link Wants.take}. */
export interface Outcome {
  /** The conversations whose records are to be stored; undefined: to be forgotten. */
  records: Map<string, StoredConversation | undefined>;
  users: Map<string, User>;
  /** Where to resume, once all of the above is stored. */
  token: Uint8Array | undefined;
  /** All that was kept is of a store that is no more. */
  reset: boolean;
  /** Conversations whose summaries are to be fetched. */
  refetch: Set<string>;
  /** Users whose profiles are to be fetched. */
  profiles: Set<string>;
  /** Conversations whose members are to be fetched. */
  members: Set<string>;
  /** Messages of one's own that the server has: the outbox is done with them. */
  own: { conversationId: string; message: StoredMessage }[];
  /** New messages of others. */
  arrived: { message: Message; conversation: Conversation }[];
}

function nothing(): Outcome {
  return {
    records: new Map(),
    users: new Map(),
    token: undefined,
    reset: false,
    refetch: new Set(),
    profiles: new Set(),
    members: new Set(),
    own: [],
    arrived: [],
  };
}

/** Gathers what the model wants of the world, until it is taken. */
export class Wants {
  readonly #wanted: () => void;
  #outcome = nothing();

  /** `wanted` is called when there is something to {@link take}. */
  constructor(wanted: () => void) {
    this.#wanted = wanted;
  }

  add(add: (o: Outcome) => void): void {
    add(this.#outcome);
    this.#wanted();
  }

  take(): Outcome {
    const outcome = this.#outcome;
    this.#outcome = nothing();
    return outcome;
  }
}
