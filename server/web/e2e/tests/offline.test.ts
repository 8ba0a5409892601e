import { networkErrors } from "../harness/device.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { composer, installed, kept, message, openConversation, send, signUp, state } from "../harness/ui.js";

test("what is written without a network is queued in sight, sent once when it is back, and what was missed comes", async ({
  open,
  server,
}) => {
  const device = await open();
  device.tolerate(...networkErrors);
  const page = await device.tab();
  const me = await signUp(page, "Olga");
  const friend = await Person.signUp(server.url, "Otto");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "before the tunnel");
  await openConversation(page, "Otto");
  await message(page, "before the tunnel").waitFor();

  await device.context.setOffline(true);
  await page.getByRole("status").getByText("You are offline").waitFor();
  await send(page, "written in the tunnel");
  await state(page, "written in the tunnel", "Waiting for a connection").waitFor();
  await message(page, "before the tunnel").waitFor();
  await friend.send(conversation, "missed in the tunnel");
  await expect
    .poll(async () => (await friend.history(conversation)).map((m) => m.content))
    .toEqual(["before the tunnel", "missed in the tunnel"]);

  await device.context.setOffline(false);
  await message(page, "missed in the tunnel").waitFor();
  await state(page, "written in the tunnel", /Sent|Delivered/).waitFor();
  expect((await friend.history(conversation)).map((m) => m.content)).toEqual([
    "before the tunnel",
    "missed in the tunnel",
    "written in the tunnel",
  ]);
  await expect.poll(() => page.getByText("You are offline").count()).toBe(0);
});

test("a queued message survives a reload, and so does what was read", async ({ open, ownServer, proxy }) => {
  const device = await open({}, proxy.url);
  device.tolerate(...networkErrors);
  const page = await device.tab();
  const me = await signUp(page, "Quinn");
  const friend = await Person.signUp(ownServer.url, "Rana");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "read before");
  await openConversation(page, "Rana");
  await message(page, "read before").waitFor();
  await kept(page, "read before");
  await installed(page);

  proxy.turn("dark");
  proxy.cut();
  await send(page, "not lost");
  await state(page, "not lost", /Waiting for a connection|Sending/).waitFor();
  await kept(page, "not lost", 1);
  await page.reload();
  await message(page, "read before").waitFor();
  await state(page, "not lost", /Waiting for a connection|Sending/).waitFor();

  proxy.turn("open");
  proxy.cut();
  await state(page, "not lost", /Sent|Delivered/).waitFor();
  expect((await friend.history(conversation)).map((m) => m.content)).toEqual(["read before", "not lost"]);
});

test("a server that dies in the middle of a chat loses nothing and doubles nothing", async ({ open, ownServer }) => {
  const device = await open({}, ownServer.url);
  device.tolerate(...networkErrors);
  const page = await device.tab();
  const me = await signUp(page, "Uma");
  const friend = await Person.signUp(ownServer.url, "Vic");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "one");
  await openConversation(page, "Vic");
  await message(page, "one").waitFor();

  await send(page, "two");
  await ownServer.kill();
  await send(page, "three");
  await send(page, "four");
  await state(page, "four", /Waiting for a connection|Sending/).waitFor();
  await ownServer.restart();

  await state(page, "four", /Sent|Delivered/).waitFor();
  expect((await friend.history(conversation)).map((m) => m.content)).toEqual(["one", "two", "three", "four"]);
  await friend.send(conversation, "five");
  await message(page, "five").waitFor();
  for (const text of ["one", "two", "three", "four", "five"])
    expect(await message(page, text).count(), `message ${text}`).toBe(1);
});

test("the application starts without a network and shows what it knows", async ({ open, ownServer }) => {
  const device = await open({}, ownServer.url);
  device.tolerate(...networkErrors);
  const page = await device.tab();
  const me = await signUp(page, "Wanda");
  const friend = await Person.signUp(ownServer.url, "Xaver");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "for later");
  await openConversation(page, "Xaver");
  await message(page, "for later").waitFor();
  await kept(page, "for later");
  await installed(page);

  await ownServer.kill();
  await page.close();
  const again = await device.tab(`/c/${conversation}`);
  await message(again, "for later").waitFor();
  await composer(again).waitFor();
});
