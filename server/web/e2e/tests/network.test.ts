import { networkErrors } from "../harness/device.js";
import { serveNewerSchema } from "../harness/newer.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { message, openConversation, send, signUp, state } from "../harness/ui.js";

test("where WebSockets are blocked, chat goes on over Subscribe", async ({ open, ownServer, proxy }) => {
  proxy.turn("no-websocket");
  const device = await open({}, proxy.url);
  device.tolerate(...networkErrors);
  const page = await device.tab();
  const me = await signUp(page, "Behind a proxy");
  const friend = await Person.signUp(ownServer.url, "Outside");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "can you hear me?");
  await openConversation(page, "Outside");
  await message(page, "can you hear me?").waitFor();
  await send(page, "I can");
  await state(page, "I can", /Sent|Delivered/).waitFor();
  await friend.send(conversation, "so can I");
  await message(page, "so can I").waitFor();
  expect(proxy.refused).toBeGreaterThan(0);
  await expect.poll(() => ownServer.streams()).toBe(1);
});

test("a network that swallows everything is noticed when it lets go, and nothing was lost", async ({
  open,
  ownServer,
  proxy,
}) => {
  const device = await open({}, proxy.url);
  device.tolerate(...networkErrors);
  const page = await device.tab();
  const me = await signUp(page, "In a lift");
  const friend = await Person.signUp(ownServer.url, "On the ground");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "going up?");
  await openConversation(page, "On the ground");
  await message(page, "going up?").waitFor();

  proxy.turn("dark");
  await send(page, "between floors");
  await friend.send(conversation, "hello?");
  proxy.turn("open");
  proxy.cut();
  await message(page, "hello?").waitFor();
  await state(page, "between floors", /Sent|Delivered/).waitFor();
  expect((await friend.history(conversation)).filter((m) => m.content === "between floors")).toHaveLength(1);
});

test("a tab that is older than the server's schema goes on working", async ({ open, server }) => {
  // The service worker would fetch past the rewriting.
  const device = await open({ serviceWorkers: "block" });
  const newer = await serveNewerSchema(device.context);
  const page = await device.tab();
  const me = await signUp(page, "Old tab");
  const friend = await Person.signUp(server.url, "New server");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "with things you do not know");
  await openConversation(page, "New server");
  await message(page, "with things you do not know").waitFor();
  await send(page, "I see what I know");
  await state(page, "I see what I know", /Sent|Delivered/).waitFor();
  await friend.send(conversation, "and so it should be");
  await message(page, "and so it should be").waitFor();
  expect(newer.unary, "unary answers that were rewritten").toBeGreaterThan(0);
  expect(newer.stream, "frames of the stream that were rewritten").toBeGreaterThan(0);
});
