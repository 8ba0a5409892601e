import { toChatError } from "./errors.js";
import type { Model } from "./model/model.js";
import type { Outcome } from "./model/outcome.js";
import { type StoredMember, toMember } from "./model/records.js";
import type { Calls } from "./wire.js";

/** Rules of the schema. */
const maxProfiles = 200;
const memberPage = 500;

/** Fetches what the model wants beside the stream. What fails is wanted again with {@link again}. */
export class Fetcher {
  readonly #model: Model;
  readonly #calls: Calls;
  readonly #fetching = new Map<string, Promise<void>>();
  readonly #failed = { refetch: new Set<string>(), members: new Set<string>(), profiles: new Set<string>() };

  constructor(model: Model, calls: Calls) {
    this.#model = model;
    this.#calls = calls;
  }

  fetch(wanted: Pick<Outcome, "refetch" | "members" | "profiles">): void {
    for (const id of wanted.refetch) {
      this.conversation(id).catch((thrown) => {
        if (toChatError(thrown).code === "not_found") {
          this.#model.drop(id);
        } else {
          this.#failed.refetch.add(id);
        }
      });
    }
    for (const id of wanted.members) {
      this.#members(id).catch(() => this.#failed.members.add(id));
    }
    const ids = [...wanted.profiles];
    for (let i = 0; i < ids.length; i += maxProfiles) {
      const some = ids.slice(i, i + maxProfiles);
      this.#profiles(some).catch(() => {
        for (const id of some) {
          this.#failed.profiles.add(id);
        }
      });
    }
  }

  /** There are conversations of which the model does not know all that it was told of. */
  get behind(): boolean {
    return this.#fetching.size + this.#failed.refetch.size > 0;
  }

  /** Fetches what failed; call it when the server can be reached again. */
  again(): void {
    const failed = this.#failed;
    const wanted = { refetch: new Set(failed.refetch), members: new Set(failed.members), profiles: new Set(failed.profiles) };
    failed.refetch.clear();
    failed.members.clear();
    failed.profiles.clear();
    this.fetch(wanted);
  }

  /** Fetches a conversation's summary. It tells what was so after the call: a call that is under way may have been answered before. */
  conversation(id: string): Promise<void> {
    const before = this.#fetching.get(id);
    const fetching = (before ?? Promise.resolve()).catch(() => undefined).then(() => this.#conversation(id));
    this.#fetching.set(id, fetching);
    const done = () => {
      if (this.#fetching.get(id) === fetching) {
        this.#fetching.delete(id);
      }
    };
    fetching.then(done, done);
    return fetching;
  }

  async #conversation(id: string): Promise<void> {
    const { summary } = await this.#calls.chat.getConversation({ conversationId: id });
    if (summary) {
      this.#model.summary(summary);
    }
  }

  async #members(id: string): Promise<void> {
    this.#model.beginMembers(id);
    const members: StoredMember[] = [];
    let pageToken = "";
    do {
      const page = await this.#calls.chat.listMembers({ conversationId: id, pageSize: memberPage, pageToken });
      for (const m of page.members) {
        if (m.user) {
          this.#model.learn(m.user);
        }
        members.push(toMember(m));
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    this.#model.readMembers(id, members);
  }

  async #profiles(userIds: readonly string[]): Promise<void> {
    const { users } = await this.#calls.chat.getUsers({ userIds: [...userIds] });
    for (const u of users) {
      this.#model.learn(u);
    }
  }
}
