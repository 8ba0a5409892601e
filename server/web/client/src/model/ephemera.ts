import type { Observable, Presence, User } from "../api.js";
import { Cell, type Notifier, Signal } from "./signal.js";

/** A receiver ends a typing this long after it was last told (a rule of the schema). */
const typingLasts = 6_000;

const unknown: Presence = { state: "unknown" };
const nobody: readonly User[] = [];

/** What is never stored: who types, and who is there. */
export class Ephemera {
  /** Called when the set of users whose presence somebody looks at has changed. */
  onWatch: () => void = () => {};

  readonly #notifier: Notifier;
  readonly #user: (id: string) => User;
  readonly #typing = new Map<string, Map<string, ReturnType<typeof setTimeout>>>();
  readonly #typists = new Map<string, Signal<readonly User[]>>();
  readonly #presences = new Map<string, Cell<Presence>>();
  readonly #watched = new Set<string>();

  constructor(notifier: Notifier, user: (id: string) => User) {
    this.#notifier = notifier;
    this.#user = user;
  }

  typing(conversationId: string): Observable<readonly User[]> {
    let s = this.#typists.get(conversationId);
    if (!s) {
      s = new Signal<readonly User[]>(this.#notifier, (before) => {
        const users = [...(this.#typing.get(conversationId)?.keys() ?? [])].map(this.#user);
        if (before?.length === users.length && users.every((u, i) => u === before[i])) {
          return before;
        }
        return users.length === 0 ? nobody : users;
      });
      this.#typists.set(conversationId, s);
    }
    return s;
  }

  /** A user types, or has stopped. */
  type(conversationId: string, userId: string, typing: boolean): void {
    const there = this.#typing.get(conversationId);
    clearTimeout(there?.get(userId));
    if (typing) {
      const timer = setTimeout(() => this.type(conversationId, userId, false), typingLasts);
      this.#typing.set(conversationId, (there ?? new Map()).set(userId, timer));
    } else if (!there?.delete(userId)) {
      return;
    } else if (there.size === 0) {
      this.#typing.delete(conversationId);
    }
    this.#typists.get(conversationId)?.invalidate();
  }

  /** A name may have become known. */
  userChanged(): void {
    for (const id of this.#typing.keys()) {
      this.#typists.get(id)?.invalidate();
    }
  }

  presence(userId: string): Observable<Presence> {
    return this.#presence(userId);
  }

  setPresence(userId: string, p: Presence): void {
    const cell = this.#presence(userId);
    const before = cell.get();
    if (before.state !== p.state || before.lastSeenTime !== p.lastSeenTime) {
      cell.set(p);
    }
  }

  /** The users whose presence somebody looks at. */
  watched(): string[] {
    return [...this.#watched];
  }

  /** What is known of all users that are not unknown. */
  presences(): [string, Presence][] {
    return [...this.#presences].map(([id, cell]) => [id, cell.get()] as [string, Presence]).filter(([, p]) => p !== unknown);
  }

  /** Nothing is heard any more: nobody is known to be there, or to type. */
  silence(): void {
    for (const [conversationId, there] of [...this.#typing]) {
      for (const userId of [...there.keys()]) {
        this.type(conversationId, userId, false);
      }
    }
    for (const cell of this.#presences.values()) {
      cell.set(unknown);
    }
  }

  #presence(userId: string): Cell<Presence> {
    let cell = this.#presences.get(userId);
    if (!cell) {
      cell = new Cell<Presence>(this.#notifier, unknown, {
        begin: () => {
          this.#watched.add(userId);
          this.onWatch();
        },
        end: () => {
          this.#watched.delete(userId);
          this.onWatch();
        },
      });
      this.#presences.set(userId, cell);
    }
    return cell;
  }
}
