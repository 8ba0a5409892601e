import { Piece } from "./piece.js";
import type { StoredConversation, StoredMessage } from "./records.js";
import { messageView } from "./view.js";

/** The open pieces of all conversations, also of those that are not known (yet, or any more). */
export class Pieces {
  readonly #self: string;
  readonly #record: (conversationId: string) => StoredConversation | undefined;
  readonly #open = new Map<string, Set<Piece>>();
  readonly #changed = new WeakMap<Piece, () => void>();

  constructor(self: string, record: (conversationId: string) => StoredConversation | undefined) {
    this.#self = self;
    this.#record = record;
  }

  open(id: string, changed: () => void): Piece {
    // Where the conversation is not known nobody has read anything in it.
    const stranger = { id, peersReadSeq: 0, peersDeliveredSeq: 0 };
    const view = (m: StoredMessage) => messageView(m, this.#record(id) ?? stranger, this.#self);
    const piece = new Piece(this.#record(id)?.lastSeq ?? 0, view, changed);
    piece.stale = true;
    this.#changed.set(piece, changed);
    this.#open.set(id, (this.#open.get(id) ?? new Set()).add(piece));
    return piece;
  }

  close(id: string, piece: Piece): void {
    const pieces = this.#open.get(id);
    if (pieces?.delete(piece) && pieces.size === 0) {
      this.#open.delete(id);
    }
  }

  of(id: string): ReadonlySet<Piece> {
    return this.#open.get(id) ?? none;
  }

  /** Events up to a place exist. */
  heardOf(id: string, head: number): void {
    for (const piece of this.of(id)) {
      piece.known = Math.max(piece.known, head);
    }
  }

  /** Tells those who have opened pieces of a conversation, or of all, that something about it has changed. */
  tell(id?: string): void {
    for (const pieces of id === undefined ? this.#open.values() : [this.of(id)]) {
      for (const piece of pieces) {
        this.#changed.get(piece)?.();
      }
    }
  }
}

const none: ReadonlySet<Piece> = new Set();
