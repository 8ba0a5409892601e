import { Device, launch } from "../harness/device.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { conversations, message, openConversation, send, signOut, signUp } from "../harness/ui.js";

test("six tabs share one stream, all hear everything, and closing any of them harms no other", async ({ open, ownServer }) => {
  const device = await open({}, ownServer.url);
  const first = await device.tab();
  const me = await signUp(first, "Six");
  const friend = await Person.signUp(ownServer.url, "Seven");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "hello, tabs");
  await openConversation(first, "Seven");

  // HTTP/1.1 gives an origin six connections: with a stream per tab, the sixth could not even load.
  const others = [];
  for (let i = 0; i < 5; i++) others.push(await device.tab(`/c/${conversation}`));
  const tabs = [first, ...others];
  for (const tab of tabs) await message(tab, "hello, tabs").waitFor();
  await friend.send(conversation, "to all");
  for (const tab of tabs) await message(tab, "to all").waitFor();
  expect(await ownServer.streams()).toBe(1);

  for (let left = tabs.length; left > 1; left--) {
    await tabs.shift()?.close();
    await friend.send(conversation, `to the last ${left - 1}`);
    for (const tab of tabs) await message(tab, `to the last ${left - 1}`).waitFor();
    await expect.poll(() => ownServer.streams()).toBe(1);
  }
  const [last] = tabs;
  if (!last) throw new Error("no tab is left");
  await send(last, "still here");
  await expect.poll(async () => (await friend.history(conversation)).at(-1)?.content).toBe("still here");
});

test("where the address is no secure one, six tabs work too, each by itself", async ({ ownServer, onTestFinished }) => {
  // As in an office without certificates: there browsers have neither Web Locks nor service workers. This machine's own address would be a secure one.
  const browser = await launch("--host-resolver-rules=MAP chat.test 127.0.0.1");
  onTestFinished(() => browser.close());
  const device = await Device.open(browser, ownServer.url.replace("127.0.0.1", "chat.test"));
  device.tolerate(/Cross-Origin-Opener-Policy header has been ignored/);
  const first = await device.tab();
  expect(await first.evaluate(() => isSecureContext)).toBe(false);
  const me = await signUp(first, "Eight");
  const friend = await Person.signUp(ownServer.url, "Nine");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "hello, tabs");
  const tabs = [first];
  for (let i = 0; i < 5; i++) tabs.push(await device.tab(`/c/${conversation}`));
  await openConversation(first, "Nine");
  for (const tab of tabs) await message(tab, "hello, tabs").waitFor();
  await send(first, "from the first");
  await friend.send(conversation, "to all");
  for (const tab of tabs) for (const text of ["from the first", "to all"]) await message(tab, text).waitFor();
  expect(await ownServer.streams()).toBe(tabs.length);
  expect((await friend.history(conversation)).map((m) => m.content).sort()).toEqual(["from the first", "hello, tabs", "to all"]);
  expect(await device.close()).toEqual([]);
});

test("a message written in one tab shows in the others, once", async ({ open, server }) => {
  const device = await open();
  const one = await device.tab();
  const me = await signUp(one, "Twin");
  const friend = await Person.signUp(server.url, "Friend of Twin");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "hi");
  await openConversation(one, "Friend of Twin");
  const two = await device.tab(`/c/${conversation}`);
  await message(two, "hi").waitFor();
  await send(two, "from the follower");
  await send(one, "from the leader");
  for (const tab of [one, two]) {
    for (const text of ["from the follower", "from the leader"]) {
      await message(tab, text).waitFor();
      expect(await message(tab, text).count()).toBe(1);
    }
  }
  await expect
    .poll(async () => (await friend.history(conversation)).map((m) => m.content).sort())
    .toEqual(["from the follower", "from the leader", "hi"]);
});

test("signing out in one tab signs out all", async ({ open }) => {
  const device = await open();
  const one = await device.tab();
  await signUp(one, "Leaving");
  const two = await device.tab();
  await conversations(two).waitFor();
  await signOut(two);
  for (const tab of [one, two]) await tab.getByRole("button", { name: "Sign in" }).waitFor();
});
