import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { AuthService, type SignInResponse, type SignUpResponse } from "@natterjack/proto/auth/v1/auth_service_pb.js";
import type { Session as Tokens } from "@natterjack/proto/auth/v1/session_pb.js";
import { chatError, networkError, toChatError } from "./errors.js";
import { fits } from "./form.js";
import type { Keep } from "./keep.js";
import { Value } from "./observable.js";
import type { Ended, Session } from "./wire.js";

/** How long before its end a token is replaced, in milliseconds, so that it doesn't run out on its way; of tokens that live shortly, a quarter of their life. */
const refreshAhead = 30_000;
/** Bounds a refresh or a sign-in. */
const renewTimeout = 15_000;
/** Bounds telling the server of a sign-out. */
const signOutTimeout = 5_000;

export interface SessionOptions {
  /** Carries calls without a token. */
  readonly transport: Transport;
  readonly keep: Keep;
  readonly deviceName: string;
  /** Names lock and channel between tabs; undefined where nobody shares the session. */
  readonly shared?: { readonly name: string; readonly locks?: Pick<LockManager, "request"> };
}

/** What is kept: a session with its secrets, or how the last one ended. */
type Kept =
  | {
      readonly kind: "session";
      readonly userId: string;
      readonly accessToken: string;
      readonly refreshToken: string;
      /** By the server's clock. */
      readonly accessExpire: number;
      readonly refreshExpire: number;
      /** By this device's clock. */
      readonly obtained: number;
    }
  | { readonly kind: "ended"; readonly reason: Ended };

type Live = Extract<Kept, { kind: "session" }>;

const key = "session";

/** Opens the session that is kept, if there is one. */
export function createSession(options: SessionOptions): Session {
  return new KeptSession(options);
}

class KeptSession implements Session {
  readonly userId = new Value<string | undefined | null>(null);
  readonly ended = new Value<Ended | undefined>(undefined);

  readonly #auth: Client<typeof AuthService>;
  readonly #keep: Keep;
  readonly #deviceName: string;
  readonly #exclusive: Exclusive;
  readonly #channel: BroadcastChannel | undefined;
  readonly #closed = new AbortController();
  readonly #loaded: Promise<void>;
  #live: Live | undefined;
  #renewing: { readonly stale: string | undefined; readonly token: Promise<string> } | undefined;
  /** Grows with each sign-in and sign-out here: what was begun before changes nothing after. */
  #era = 0;

  constructor(options: SessionOptions) {
    this.#auth = createClient(AuthService, options.transport);
    this.#keep = options.keep;
    this.#deviceName = options.deviceName;
    this.#exclusive = exclusive(options.shared);
    this.#channel = options.shared && openChannel(options.shared.name, () => void this.#reload());
    this.#loaded = this.#reload();
  }

  async signUp(form: { username: string; password: string; displayName?: string }): Promise<void> {
    await this.#begin((timeoutMs) =>
      this.#auth.signUp({ ...form, displayName: form.displayName ?? "", deviceName: this.#deviceName }, { timeoutMs }),
    );
  }

  async signIn(form: { username: string; password: string }): Promise<void> {
    await this.#begin((timeoutMs) => this.#auth.signIn({ ...form, deviceName: this.#deviceName }, { timeoutMs }));
  }

  async signOut(): Promise<void> {
    this.#era++;
    let had: Kept | undefined = this.#live;
    const ended: Kept = { kind: "ended", reason: "signed-out" };
    this.#adopt(ended);
    // Under the lock, as a refresh may be under way: what it gets has to be ended too.
    await this.#exclusive(async () => {
      await this.#keep.update<Kept>(key, (old) => {
        had = checked(old) ?? had;
        return ended;
      });
      this.#tell();
      if (had?.kind === "session") await this.#end(had);
    });
  }

  async accessToken(stale?: string): Promise<string> {
    await this.#loaded;
    if (!this.#live) throw signedOut();
    if (usable(this.#live, stale)) return this.#live.accessToken;
    if (this.#renewing && this.#renewing.stale === stale) return this.#renewing.token;
    const renewing = { stale, token: this.#exclusive(() => this.#renew(stale)) };
    this.#renewing = renewing;
    const done = () => {
      if (this.#renewing === renewing) this.#renewing = undefined;
    };
    renewing.token.then(done, done);
    return renewing.token;
  }

  close(): void {
    this.#closed.abort();
    this.#channel?.close();
    // Not before a refresh under way has stored what it got: the token before it works no more.
    void this.#exclusive(async () => this.#keep.close());
  }

  /** Reads what is kept: at first, and whenever another tab has changed it. */
  async #reload(): Promise<void> {
    const era = this.#era;
    const kept = await this.#read();
    if (era === this.#era && !this.#closed.signal.aborted) this.#adopt(kept);
  }

  /** What is kept; where that can't be read, it is what is known here: no fault of the browser's storage ends a session. */
  async #read(): Promise<Kept | undefined> {
    return checked(await this.#keep.get(key)) ?? this.#live;
  }

  #adopt(kept: Kept | undefined): void {
    this.#live = kept?.kind === "session" ? kept : undefined;
    this.ended.set(kept?.kind === "ended" ? kept.reason : undefined);
    this.userId.set(this.#live?.userId);
  }

  /** Stores a change and makes it known, here and in other tabs. */
  async #store(kept: Kept, era: number): Promise<void> {
    await this.#keep.update<Kept>(key, () => kept);
    if (era === this.#era) this.#adopt(kept);
    this.#tell();
  }

  #tell(): void {
    if (!this.#closed.signal.aborted) this.#channel?.postMessage("changed");
  }

  async #begin(ask: (timeoutMs: number) => Promise<SignUpResponse | SignInResponse>): Promise<void> {
    await this.#loaded;
    await this.#exclusive(async () => {
      const answer = await this.#call(renewTimeout, ask);
      await this.#store(live(answer.user?.id ?? "", answer.session), ++this.#era);
    });
  }

  /** Gets a new token, the lock being held: by looking what another tab got, or by refreshing. */
  async #renew(stale: string | undefined): Promise<string> {
    const era = this.#era;
    const kept = await this.#read();
    if (kept?.kind !== "session") {
      if (era === this.#era) this.#adopt(kept);
      throw signedOut();
    }
    if (usable(kept, stale)) {
      if (era === this.#era) this.#adopt(kept);
      return kept.accessToken;
    }
    try {
      const { session } = await this.#call(renewTimeout, (timeoutMs) =>
        this.#auth.refreshSession({ refreshToken: kept.refreshToken }, { timeoutMs }),
      );
      const next = live(kept.userId, session);
      await this.#store(next, era);
      return next.accessToken;
    } catch (thrown) {
      const error = toChatError(thrown);
      if (error.code === "unauthenticated") {
        await this.#store({ kind: "ended", reason: Date.now() >= kept.refreshExpire ? "expired" : "revoked" }, era);
      }
      throw error;
    }
  }

  /** Ends a session at the server. It doesn't matter much if that fails: then it runs out by itself. */
  async #end(kept: Live): Promise<void> {
    try {
      await this.#call(signOutTimeout, async (timeoutMs) => {
        const { accessToken } = usable(kept)
          ? kept
          : live(kept.userId, (await this.#auth.refreshSession({ refreshToken: kept.refreshToken }, { timeoutMs })).session);
        await this.#auth.signOut({}, { timeoutMs, headers: bearer(accessToken) });
      });
    } catch {}
  }

  async #call<R>(timeout: number, ask: (timeoutMs: number) => Promise<R>): Promise<R> {
    try {
      return await ask(timeout);
    } catch (error) {
      throw toChatError(error);
    }
  }
}

/** What was kept, if it is what a session keeps. */
function checked(kept: unknown): Kept | undefined {
  const time = (t: unknown) => typeof t === "number"; // one without end is infinite
  const session = {
    kind: "session",
    userId: "",
    accessToken: "",
    refreshToken: "",
    accessExpire: time,
    refreshExpire: time,
    obtained: 0,
  };
  const ended = { kind: "ended", reason: "" };
  const { kind } = (kept ?? {}) as Partial<Kept>;
  return fits(kind === "session" ? session : ended, kept) ? (kept as Kept) : undefined;
}

/** The header that carries a token. */
export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

function live(userId: string, tokens: Tokens | undefined): Live {
  if (!userId || !tokens) throw networkError("the answer of the server is incomplete");
  return {
    kind: "session",
    userId,
    accessToken: tokens.accessToken,
    refreshToken: tokens.refreshToken,
    accessExpire: time(tokens.accessTokenExpireTime),
    refreshExpire: time(tokens.refreshTokenExpireTime),
    obtained: Date.now(),
  };
}

function time(timestamp: Timestamp | undefined): number {
  return timestamp ? timestampMs(timestamp) : Number.POSITIVE_INFINITY;
}

/**
 * Whether a token can be used now; `stale` is one that the server has refused. Where this device's clock is so far ahead that the token was never valid by it,
 * only the server can tell: the token is used until it is refused, rather than refreshed for each call.
 */
function usable(session: Live, stale?: string): boolean {
  if (session.accessToken === stale) return false;
  const life = session.accessExpire - session.obtained;
  return life <= 0 || Date.now() + Math.min(refreshAhead, life / 4) < session.accessExpire;
}

function signedOut() {
  return chatError({ code: "unauthenticated", message: "nobody is signed in", reason: "INVALID_SESSION" });
}

/** Runs one piece of work at a time, over all that share the name. */
type Exclusive = <R>(work: () => Promise<R>) => Promise<R>;

/** By Web Locks where there are any; else (no secure context, or site data are blocked) only this object is spoken for. */
function exclusive(shared: SessionOptions["shared"]): Exclusive {
  let last: Promise<unknown> = Promise.resolve();
  const alone: Exclusive = (work) => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
  const locks = shared && (shared.locks ?? globalThis.navigator?.locks);
  if (!locks) return alone;
  return async (work) => {
    let begun = false;
    const begin = () => {
      begun = true;
      return work();
    };
    try {
      return await (locks.request(shared.name, begin) as ReturnType<typeof work>);
    } catch (error) {
      if (begun) throw error;
      return alone(work);
    }
  };
}

function openChannel(name: string, heard: () => void): BroadcastChannel | undefined {
  if (typeof BroadcastChannel === "undefined") return undefined;
  const channel = new BroadcastChannel(name);
  channel.onmessage = heard;
  // In Node a channel would keep the process running.
  (channel as { unref?: () => void }).unref?.();
  return channel;
}
