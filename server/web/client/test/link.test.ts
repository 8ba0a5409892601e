import type { Event } from "@natterjack/proto/chat/v1/stream_pb.js";
import { expect, onTestFinished, test } from "vitest";
import { nodeNetwork } from "../src/node.js";
import { createWire, type WireOptions } from "../src/wiring.js";
import { Server } from "./server.js";
import { until } from "./until.js";

function open(server: Server, options: Partial<WireOptions> = {}) {
  const wire = createWire({ network: nodeNetwork(server.url), inMemory: true, ...options });
  const events: Event[] = [];
  const link = wire.createLink({
    hello: async () => ({ token: new Uint8Array(), positions: [] }),
    events: (more) => events.push(...more),
  });
  onTestFinished(() => {
    link.stop();
    wire.close();
  });
  return { ...wire, link, events };
}

test("a link gets live over HTTP/2", async () => {
  const server = await Server.start();
  const { session, link, events } = open(server);

  await session.signUp({ username: "alice", password: "correct horse" });
  link.start();
  await until(link.state, (state) => state.status === "live");
  expect(link.state.get()).toEqual({ status: "live", over: "http2" });
  expect(events.map((event) => event.event.case)).toEqual(["ready", "caughtUp"]);
});
