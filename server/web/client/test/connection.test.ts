import { Code, createRouterTransport } from "@connectrpc/connect";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
import { expect, onTestFinished, test } from "vitest";
import { StreamConnection, times } from "../src/connection.js";
import { memoryKeep } from "../src/keep.js";
import { createLink } from "../src/link.js";
import type { Session } from "../src/wire.js";
import { eventually, status } from "./until.js";

/** A server that says nothing but refusals of watches, `codes` one after the other; and whom it was asked to watch. */
function refusing(codes: Code[]) {
  const asked: string[][] = [];
  const transport = createRouterTransport(({ service }) => {
    service(ChatService, {
      async *stream(requests) {
        for await (const { requestId, request } of requests) {
          if (request.case === "hello") {
            yield { events: [{ event: { case: "ready", value: {} } }, { event: { case: "caughtUp", value: {} } }] };
          } else if (request.case === "watchPresence") {
            asked.push(request.value.userIds);
            const code = codes.shift();
            yield {
              events: [{ event: code ? { case: "error", value: { requestId, code } } : { case: "ack", value: { requestId } } }],
            };
          }
        }
      },
    });
  });
  return { asked, transport };
}

test("a watch that is refused for the moment is said again, one that is wrong is not", async () => {
  const { asked, transport } = refusing([Code.Unavailable, Code.Unavailable, Code.InvalidArgument]);
  const connection = new StreamConnection(transport, {
    token: "t",
    hello: { deviceId: "d" },
    watched: ["bob"],
    times: { ...times, rewatch: 1 },
    events: () => {},
    ready: () => {},
    caughtUp: () => {},
  });
  const end = connection.run();
  await eventually(() => asked.length === 3);
  connection.watch(["carol"]);
  await eventually(() => asked.length === 4);
  expect(asked).toEqual([["bob"], ["bob"], ["bob"], ["carol"]]);
  connection.leave();
  await end;
});

test("the same watch in another order is not said again", async () => {
  const { asked, transport } = refusing([]);
  const session = { accessToken: async () => "t" } as unknown as Session;
  const link = createLink(
    { session, calls: undefined as never, hello: async () => ({ token: new Uint8Array(), positions: [] }), events: () => {} },
    { network: { calls: transport, streams: transport, over: "http2" }, keep: memoryKeep() },
  );
  onTestFinished(() => link.stop());
  link.start();
  await status(link.state, "live");
  link.watch(["bob", "carol"]);
  link.watch(["carol", "bob"]);
  link.watch(["bob"]);
  await eventually(() => asked.some((ids) => ids.length === 1));
  expect(asked).toEqual([["bob", "carol"], ["bob"]]);
});
