import "fake-indexeddb/auto";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createClient } from "@connectrpc/connect";
import { AuthService } from "@natterjack/proto/auth/v1/auth_service_pb.js";
import { deleteDB, openDB } from "idb";
import { afterEach, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import type { Network } from "../src/network.js";
import type { Wire } from "../src/wiring.js";
import { TroubleProxy } from "./proxy.js";
import { Server } from "./server.js";
import { eventually, until } from "./until.js";
import { Locks, networks, newUser, open, webSocketNetwork } from "./wire.js";

let server: Server;
beforeAll(async () => {
  server = await Server.start();
  return () => server.stop();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Tabs of one browser, with all calls that they make. */
function browser(url = server.url) {
  const network = webSocketNetwork(url);
  const locks = new Locks();
  const storagePrefix = randomUUID();
  const calls: string[] = [];
  const counted: Network = {
    ...network,
    calls: {
      ...network.calls,
      unary(method, ...rest) {
        calls.push(method.name);
        return network.calls.unary(method, ...rest);
      },
    },
  };
  return { calls, name: `${storagePrefix}.session`, tab: () => open(counted, { inMemory: false, storagePrefix, locks }) };
}

const signedIn = (tab: Wire) => until(tab.session.userId, (id) => typeof id === "string");
const signedOut = (tab: Wire) => until(tab.session.userId, (id) => id === undefined);

test("a session is known after a reload, without the server", async () => {
  const own = await Server.forTest();
  const { tab } = browser(own.url);
  const first = tab();
  expect(first.session.userId.get()).toBeNull();
  await signedOut(first);
  await first.session.signUp(newUser());
  const userId = first.session.userId.get();
  first.close();
  await own.kill();
  const second = tab();
  expect(await signedIn(second)).toBe(userId);
  expect(await second.session.accessToken()).toMatch(/^nja_/);
});

test("tabs hear of each other's sign-in and sign-out", async () => {
  const { tab } = browser();
  const [first, second] = [tab(), tab()];
  await signedOut(second);
  await first.session.signUp(newUser());
  await signedIn(second);
  expect(await second.session.accessToken()).toBe(await first.session.accessToken());
  await second.session.signOut();
  await signedOut(first);
  expect(first.session.ended.get()).toBe("signed-out");
  await expect(first.session.accessToken()).rejects.toMatchObject({ code: "unauthenticated" });
});

test("where the browser refuses locks, a session works all the same", async () => {
  const request = async () => {
    throw new DOMException("Access to the Locks API is denied in this context.", "SecurityError");
  };
  const one = open(webSocketNetwork(server.url), { inMemory: false, storagePrefix: randomUUID(), locks: { request } });
  await one.session.signUp(newUser());
  const stale = await one.session.accessToken();
  expect(await one.session.accessToken(stale)).not.toBe(stale);
  await one.session.signOut();
  await signedOut(one);
});

test("of many that need a new token at once, over all tabs, one refreshes", async () => {
  const { tab, calls } = browser();
  const [first, second] = [tab(), tab()];
  await first.session.signUp(newUser());
  await signedIn(second);
  const stale = await first.session.accessToken();
  const tokens = await Promise.all([first, first, second, second].map(({ session }) => session.accessToken(stale)));
  expect(new Set(tokens).size).toBe(1);
  expect(tokens[0]).not.toBe(stale);
  expect(calls.filter((name) => name === "RefreshSession")).toHaveLength(1);
});

test("a token is refreshed before it runs out, and not before that", async () => {
  const { tab, calls } = browser();
  const one = tab();
  await one.session.signUp(newUser());
  const first = await one.session.accessToken();
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Date.now() + 59 * 60_000);
  expect(await one.session.accessToken()).toBe(first);
  vi.setSystemTime(Date.now() + 40_000);
  expect(await one.session.accessToken()).not.toBe(first);
  expect(calls.filter((name) => name === "RefreshSession")).toHaveLength(1);
});

test("a clock that is hours ahead doesn't make each call refresh", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Date.now() + 5 * 3_600_000);
  const { tab, calls } = browser();
  const one = tab();
  await one.session.signUp(newUser());
  for (let i = 0; i < 3; i++) await one.calls.auth.getAccount({});
  expect(calls).toEqual(["SignUp", "GetAccount", "GetAccount", "GetAccount"]);
});

test("a session that the server has ended is over in all tabs, and says why after a reload", async () => {
  const user = newUser();
  const { tab } = browser();
  const [first, second, elsewhere] = [tab(), tab(), browser().tab()];
  await first.session.signUp(user);
  await signedIn(second);
  await elsewhere.session.signIn(user);
  await elsewhere.calls.auth.revokeAllSessions({ keepCurrent: true });
  await expect(first.calls.auth.getAccount({})).rejects.toMatchObject({ code: "unauthenticated", reason: "INVALID_SESSION" });
  await Promise.all([signedOut(first), signedOut(second)]);
  expect(second.session.ended.get()).toBe("revoked");
  const later = tab();
  await signedOut(later);
  expect(later.session.ended.get()).toBe("revoked");
  await later.session.signIn(user);
  expect(later.session.ended.get()).toBeUndefined();
});

test("a session that was not used for too long has expired", async () => {
  const user = newUser();
  const { tab } = browser();
  const [one, elsewhere] = [tab(), browser().tab()];
  await one.session.signUp(user);
  await elsewhere.session.signIn(user);
  await elsewhere.calls.auth.revokeAllSessions({ keepCurrent: true }); // what the server's clock would do
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Date.now() + 31 * 24 * 3_600_000);
  await expect(one.session.accessToken()).rejects.toMatchObject({ code: "unauthenticated" });
  expect(one.session.ended.get()).toBe("expired");
});

test("a server that isn't there doesn't end a session", async () => {
  const own = await Server.forTest();
  const { tab } = browser(own.url);
  const one = tab();
  await one.session.signUp(newUser());
  const stale = await one.session.accessToken();
  await own.kill();
  await expect(one.session.accessToken(stale)).rejects.toMatchObject({ code: "network" });
  await expect(one.calls.auth.getAccount({})).rejects.toMatchObject({ code: "network" });
  expect(one.session.ended.get()).toBeUndefined();
  await own.restart();
  expect(await one.session.accessToken(stale)).not.toBe(stale);
});

test.each(networks)(
  "a refresh over %s that gets no answer is the network's fault, and the next one is not asked in vain",
  async (_, network) => {
    const proxy = await TroubleProxy.start(server.url);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const one = open(network(proxy.url));
    await one.session.signUp(newUser());
    const stale = await one.session.accessToken();
    proxy.swallow = true;
    const asked = proxy.received;
    const refreshed = expect(one.session.accessToken(stale)).rejects.toMatchObject({ code: "network" });
    await eventually(() => proxy.received > asked);
    await vi.advanceTimersByTimeAsync(15_000);
    await refreshed;
    proxy.forget();
    proxy.swallow = false;
    expect(await one.session.accessToken(stale)).not.toBe(stale);
  },
);

test("nothing but the server can end a session", async () => {
  const portal = createServer((_, response) =>
    response.writeHead(401, { "content-type": "text/html" }).end("<h1>Pay for the network</h1>"),
  );
  portal.listen(0, "127.0.0.1");
  await once(portal, "listening");
  onTestFinished(() => void portal.close());
  const network = webSocketNetwork(server.url);
  let captive = false;
  const away = webSocketNetwork(`http://127.0.0.1:${(portal.address() as { port: number }).port}`);
  const one = open({
    ...network,
    calls: { ...network.calls, unary: (...call) => (captive ? away : network).calls.unary(...call) },
  });
  await one.session.signUp(newUser());
  const stale = await one.session.accessToken();
  captive = true;
  await expect(one.session.accessToken(stale)).rejects.toMatchObject({ code: "network" });
  await expect(one.calls.auth.getAccount({})).rejects.toMatchObject({ code: "network" });
  expect(one.session.ended.get()).toBeUndefined();
});

test("signing out ends the session at the server, also one that is being refreshed", async () => {
  const { tab, calls } = browser();
  const one = tab();
  await one.session.signUp(newUser());
  const stale = await one.session.accessToken();
  const refreshed = one.session.accessToken(stale);
  await eventually(() => calls.includes("RefreshSession"));
  await one.session.signOut();
  expect(one.session.userId.get()).toBeUndefined();
  const token = await refreshed;
  const auth = createClient(AuthService, webSocketNetwork(server.url).calls);
  await expect(auth.getAccount({}, { headers: { authorization: `Bearer ${token}` } })).rejects.toMatchObject({ code: 16 });
  const later = tab();
  await signedOut(later);
});

test("signing out works without the server", async () => {
  const own = await Server.forTest();
  const { tab } = browser(own.url);
  const one = tab();
  await one.session.signUp(newUser());
  await own.kill();
  await one.session.signOut();
  expect(one.session.userId.get()).toBeUndefined();
  await signedOut(tab());
});

test("wrong credentials reject with their reason, and end no session", async () => {
  const user = newUser();
  const one = browser().tab();
  await expect(one.session.signIn(user)).rejects.toMatchObject({ code: "unauthenticated", reason: "WRONG_CREDENTIALS" });
  await one.session.signUp(user);
  await expect(one.session.signUp(user)).rejects.toMatchObject({ code: "already_exists", reason: "USERNAME_TAKEN" });
  await expect(one.session.signUp({ ...user, username: "é" })).rejects.toMatchObject({
    code: "invalid_argument",
    field: "username",
  });
  await expect(one.calls.auth.changePassword({ currentPassword: "wrong", newPassword: "another one" })).rejects.toMatchObject({
    reason: "WRONG_CREDENTIALS",
  });
  expect(one.session.ended.get()).toBeUndefined();
  await one.calls.auth.getAccount({});
});

test("a call whose token is refused is repeated once with a new one", async () => {
  const network = webSocketNetwork(server.url);
  let spoiled = 0;
  const one = open({
    ...network,
    calls: {
      ...network.calls,
      unary(method, signal, timeoutMs, header, input, contextValues) {
        const headers = new Headers(header);
        if (method.name === "GetAccount" && spoiled++ === 0) headers.set("authorization", "Bearer nja_of_old");
        return network.calls.unary(method, signal, timeoutMs, headers, input, contextValues);
      },
    },
  });
  await one.session.signUp(newUser());
  const before = await one.session.accessToken();
  await one.calls.auth.getAccount({});
  expect(spoiled).toBe(2);
  expect(await one.session.accessToken()).not.toBe(before);
});

test("a browser that keeps nothing has a session as long as the page lives", async () => {
  vi.stubGlobal("indexedDB", {
    open() {
      throw new DOMException("no storage here", "SecurityError");
    },
  });
  const one = browser().tab();
  await signedOut(one);
  await one.session.signUp(newUser());
  const stale = await one.session.accessToken();
  expect(await one.session.accessToken(stale)).not.toBe(stale);
  await one.calls.auth.getAccount({});
});

test("a browser that has lost what it kept ends no session", async () => {
  const { tab, name } = browser();
  const one = tab();
  await one.session.signUp(newUser());
  const userId = one.session.userId.get();
  const stale = await one.session.accessToken();
  await deleteDB(name);
  expect(await one.session.accessToken(stale)).not.toBe(stale);
  const later = tab();
  expect(await signedIn(later)).toBe(userId); // it is kept again
});

test("signing out ends the session at the server, also one that the browser has lost", async () => {
  const { tab, name } = browser();
  const one = tab();
  await one.session.signUp(newUser());
  const token = await one.session.accessToken();
  await deleteDB(name);
  await one.session.signOut();
  const auth = createClient(AuthService, webSocketNetwork(server.url).calls);
  await expect(auth.getAccount({}, { headers: { authorization: `Bearer ${token}` } })).rejects.toMatchObject({ code: 16 });
});

test.each<[string, unknown]>([
  ["text", "?"],
  ["a session without its tokens", { kind: "session", userId: "u" }],
  ["an end without a reason", { kind: "ended" }],
  ["null", null],
])("garbage in place of the session, %s, is no session, and the next one is kept", async (_, garbage) => {
  const { tab, name } = browser();
  await signedOut(tab()); // which has made the database
  const db = await openDB(name);
  await db.put("values", garbage, "session");
  db.close();
  const one = tab();
  await signedOut(one);
  expect(one.session.ended.get()).toBeUndefined();
  await one.session.signUp(newUser());
  expect(await signedIn(tab())).toBe(one.session.userId.get());
});

test("in memory nothing is shared", async () => {
  const network = webSocketNetwork(server.url);
  const [one, other] = [open(network), open(network)];
  await one.session.signUp(newUser());
  await signedOut(other);
});

test("the session is called after the browser", async () => {
  const one = open(webSocketNetwork(server.url), { deviceName: "Firefox on Linux" });
  await one.session.signUp(newUser());
  const { sessions } = await one.calls.auth.listSessions({});
  expect(sessions.map(({ deviceName, current }) => [deviceName, current])).toEqual([["Firefox on Linux", true]]);
});
