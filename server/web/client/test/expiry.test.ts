import { beforeAll, describe, expect, test } from "vitest";
import { Server } from "./server.js";
import { status, until } from "./until.js";
import { live, networks } from "./wire.js";

let server: Server;
beforeAll(async () => {
  server = await Server.start({ NATTERJACK_ACCESS_TOKEN_LIFE: "1m" }); // the shortest there is
  return () => server.stop();
});

// Both at once, as each takes as long as the token lives.
describe.concurrent("a token that runs out", () => {
  test.each(networks)("is replaced, and the stream over %s goes on with the new one", { timeout: 90_000 }, async (_, network) => {
    const alice = await live(network(server.url));
    const first = await alice.session.accessToken();
    await alice.heard("ready", 1);
    await status(alice.link.state, "live");
    expect(await alice.session.accessToken()).not.toBe(first);
    expect(alice.session.ended.get()).toBeUndefined();
    await until(alice.session.userId, (id) => typeof id === "string");
    await alice.calls.auth.getAccount({});
  });
});
