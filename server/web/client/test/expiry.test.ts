import { expect, test } from "vitest";
import { Server } from "./server.js";
import { status } from "./until.js";
import { live, networks } from "./wire.js";

// One test for all ways, as each takes as long as a token lives. (Not concurrent tests: the first to end would end the others' devices.)
test("a token that runs out is replaced, and the stream goes on with the new one", { timeout: 240_000 }, async () => {
  const server = await Server.forTest({ NATTERJACK_ACCESS_TOKEN_LIFE: "1m" }); // the shortest there is
  await Promise.all(
    networks.map(async ([over, network]) => {
      const alice = await live(network(server.url));
      const first = await alice.session.accessToken();
      await alice.heard("ready", 1);
      expect(await status(alice.link.state, "live")).toEqual({ status: "live", over });
      expect(await alice.session.accessToken()).not.toBe(first);
      expect(alice.session.ended.get()).toBeUndefined();
      await alice.calls.auth.getAccount({});
    }),
  );
});
