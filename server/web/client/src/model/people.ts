import type { Member, Observable, User } from "../api.js";
import type { ConversationState, MemberList } from "./conversation.js";
import { sameUser } from "./records.js";
import { type Notifier, Signal } from "./signal.js";

export interface PeopleOptions {
  state(conversationId: string): ConversationState | undefined;
  /** A profile is wanted from the server. */
  want(userId: string): void;
  /** A list of members is wanted from the server. */
  wantMembers(conversationId: string): void;
  /** A user became known, or changed. */
  changed(user: User): void;
}

/** Users as they were last seen, and who is where. */
export class People {
  readonly #notifier: Notifier;
  readonly #o: PeopleOptions;
  readonly #users = new Map<string, User>();
  readonly #signals = new Map<string, Signal<User | undefined>>();
  readonly #members = new Map<string, Signal<readonly Member[] | undefined>>();

  constructor(notifier: Notifier, options: PeopleOptions) {
    this.#notifier = notifier;
    this.#o = options;
  }

  get(id: string): User | undefined {
    return this.#users.get(id);
  }

  /** A user, if need be one of whom nothing is known but the id: then the rest is wanted. */
  profile(id: string): User {
    const known = this.#users.get(id);
    if (!known) {
      this.#o.want(id);
    }
    return known ?? { id, username: "", displayName: "", avatarUrl: "" };
  }

  /** Wanted from the server when it is subscribed to and not known. */
  user(id: string): Observable<User | undefined> {
    let s = this.#signals.get(id);
    if (!s) {
      const begin = () => {
        this.profile(id);
      };
      s = new Signal<User | undefined>(this.#notifier, () => this.#users.get(id), { begin });
      this.#signals.set(id, s);
    }
    return s;
  }

  members(conversationId: string): Observable<readonly Member[] | undefined> {
    let s = this.#members.get(conversationId);
    if (!s) {
      const list = () => this.#o.state(conversationId)?.members;
      const compute = () => list()?.view((id) => this.#users.get(id));
      const begin = () => this.wanted(conversationId, list());
      s = new Signal<readonly Member[] | undefined>(this.#notifier, compute, { begin });
      this.#members.set(conversationId, s);
    }
    return s;
  }

  /** Reads the members of a conversation if somebody wants them and they are not there. */
  wanted(conversationId: string, there: MemberList | undefined): void {
    if (!there?.complete && this.#members.get(conversationId)?.observed) {
      this.#o.wantMembers(conversationId);
    }
  }

  membersChanged(conversationId: string): void {
    this.#members.get(conversationId)?.invalidate();
  }

  /** Lists that somebody looks at. */
  *observed(): Iterable<string> {
    for (const [id, s] of this.#members) {
      if (s.observed) {
        yield id;
      }
    }
  }

  /** Takes a user; returns whether that is news. */
  learn(u: User): boolean {
    if (sameUser(this.#users.get(u.id), u)) {
      return false;
    }
    this.#users.set(u.id, u);
    this.#signals.get(u.id)?.invalidate();
    for (const [id, signal] of this.#members) {
      if (this.#o.state(id)?.members?.named(u.id)) {
        signal.invalidate();
      }
    }
    this.#o.changed(u);
    return true;
  }
}
