import type { Page } from "playwright-core";
import type { Device } from "../harness/device.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import {
  choose,
  composer,
  conversations,
  entry,
  kept,
  message,
  openConversation,
  send,
  signUp,
  state,
  timeline,
} from "../harness/ui.js";

/** Two people with a browser each, in a conversation that Bea began with "hello". */
async function pair(open: () => Promise<Device>): Promise<{ ann: Page; bea: Page; annDevice: Device }> {
  const annDevice = await open();
  const ann = await annDevice.tab();
  const { username } = await signUp(ann, "Ann");
  const bea = await (await open()).tab();
  await signUp(bea, "Bea");
  await bea.getByRole("button", { name: "New conversation" }).first().click();
  const dialog = bea.getByRole("dialog", { name: "New conversation" });
  await dialog.getByRole("searchbox", { name: "Find people" }).fill(username);
  await dialog.getByRole("button", { name: username }).click();
  await send(bea, "hello");
  await entry(ann, "Bea").waitFor();
  return { ann, bea, annDevice };
}

test("two people talk: found by name, unread, delivered, read, typing, and there", async ({ open }) => {
  const { ann, bea } = await pair(open);
  await entry(ann, "Bea").filter({ hasText: "hello" }).getByText("1 unread").waitFor();
  await state(bea, "hello", "Delivered").waitFor();
  await openConversation(ann, "Bea");
  await state(bea, "hello", "Read").waitFor();
  await expect.poll(() => entry(ann, "Bea").getByText("1 unread").count()).toBe(0);
  await bea.getByRole("main").getByText("Online").waitFor();

  await Promise.all([
    // From before it begins: it is over three seconds after the last key.
    bea
      .getByRole("main")
      .getByText(/Ann.*typing/)
      .waitFor(),
    composer(ann).pressSequentially("I am wri"),
  ]);
  await composer(ann).press("Enter");
  await message(bea, "I am wri").waitFor();
  await expect
    .poll(() =>
      bea
        .getByRole("main")
        .getByText(/Ann.*typing/)
        .count(),
    )
    .toBe(0);
  await state(ann, "I am wri", "Read").waitFor();
});

test("somebody who closes the browser is seen to be gone", async ({ open }) => {
  const { ann, bea, annDevice } = await pair(open);
  await openConversation(ann, "Bea");
  await bea.getByRole("main").getByText("Online").waitFor();
  await annDevice.context.close();
  await bea
    .getByRole("main")
    .getByText(/Last seen|Offline/)
    .waitFor({ timeout: 120_000 }); // the server waits for 30 seconds whether they come back
});

test("a message is edited, answered, reacted to and deleted, and the other sees each", async ({ open }) => {
  const { ann, bea } = await pair(open);
  await openConversation(ann, "Bea");
  await send(ann, "a tpyo");
  await state(ann, "a tpyo", /Sent|Delivered|Read/).waitFor();
  await choose(ann, "a tpyo", "Edit");
  await expect.poll(() => composer(ann).inputValue()).toBe("a tpyo");
  await send(ann, "a typo");
  await message(bea, "a typo").getByText("edited").waitFor();
  expect(await message(bea, "a tpyo").count()).toBe(0);

  await choose(bea, "a typo", "Reply");
  await send(bea, "mended");
  await message(ann, "mended")
    .getByRole("button", { name: /Ann|You/ })
    .filter({ hasText: "a typo" })
    .waitFor();

  await message(ann, "mended").waitFor();
  await message(ann, "mended").focus();
  await ann.keyboard.press("Enter");
  await ann.getByRole("menu").getByRole("menuitemcheckbox", { name: "React with 👍" }).click();
  const reaction = message(bea, "mended").getByRole("button", { name: "👍 1 reaction" });
  await reaction.click();
  await message(ann, "mended").getByRole("button", { name: "👍 2 reactions", pressed: true }).waitFor();
  await message(bea, "mended").getByRole("button", { name: "👍 2 reactions", pressed: true }).click();
  await message(ann, "mended").getByRole("button", { name: "👍 1 reaction" }).waitFor();

  await choose(ann, "a typo", "Delete…");
  await ann.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await message(bea, "This message was deleted").waitFor();
  await expect.poll(() => timeline(bea).getByText("a typo").count()).toBe(0);
});

test("a draft waits in its conversation, over a reload too", async ({ open }) => {
  const { ann } = await pair(open);
  await openConversation(ann, "Bea");
  await composer(ann).fill("not yet said");
  await entry(ann, "Bea").getByText("not yet said").waitFor(); // as writing has paused
  await kept(ann, "not yet said", 1);
  await ann.goto("/");
  await entry(ann, "Bea").getByText("not yet said").waitFor();
  await ann.reload();
  await openConversation(ann, "Bea");
  await expect.poll(() => composer(ann).inputValue()).toBe("not yet said");
  await composer(ann).press("Enter");
  await message(ann, "not yet said").waitFor();
  await expect.poll(() => composer(ann).inputValue()).toBe("");
  await expect.poll(() => conversations(ann).getByText("Draft:").count()).toBe(0);
});

test("what was said is found by the beginning of a word, in the list and in its conversation, and led to", async ({
  open,
  server,
}) => {
  const page = await (await open()).tab();
  const me = await signUp(page, "Seeker");
  const friend = await Person.signUp(server.url, "Heron");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "the **marshmallows** are in the shed");
  await friend.sendMany(conversation, 150, (n) => `reed ${n}.`);
  await entry(page, "reed 150.").waitFor();

  const search = conversations(page).getByRole("searchbox", { name: "Search" });
  await page.keyboard.press("Control+k");
  await expect.poll(() => search.evaluate((field) => field === document.activeElement)).toBe(true);
  await page.keyboard.type("marshm");
  const found = conversations(page).getByRole("region", { name: "Messages" }).getByRole("link");
  await found.getByText("the marshmallows are in the shed").waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await message(page, "marshmallows").waitFor();
  expect(await message(page, "reed 150.").count()).toBe(0);

  await page.getByRole("main").getByRole("button", { name: "Search in this conversation" }).click();
  await page.getByRole("main").getByRole("searchbox").fill("reed 7");
  await page
    .getByRole("main")
    .getByRole("button", { name: /reed 70\./ })
    .click();
  await message(page, "reed 70.").waitFor();
  await page.getByRole("button", { name: "Jump to the newest message" }).click();
  await message(page, "reed 150.").waitFor();
});

test("an emoji is found by its name, and put where the caret is or at a message", async ({ open, server }) => {
  const page = await (await open()).tab();
  const me = await signUp(page, "Emma");
  const friend = await Person.signUp(server.url, "Moji");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "how was the pond?");
  await openConversation(page, "Moji");
  await composer(page).fill("like ! And you?");
  for (let i = 0; i < "! And you?".length; i++) await composer(page).press("ArrowLeft");
  await page.getByRole("button", { name: "Insert an emoji" }).click();
  await page.getByRole("searchbox", { name: "Search emoji" }).fill("frog");
  await page.getByRole("gridcell", { name: "Frog" }).waitFor();
  await page.keyboard.press("Enter");
  await expect.poll(() => composer(page).inputValue()).toBe("like 🐸! And you?");
  expect(await composer(page).evaluate((field) => field === document.activeElement)).toBe(true);
  await composer(page).press("Enter");
  await expect.poll(async () => (await friend.history(conversation)).at(-1)?.content).toBe("like 🐸! And you?");

  await choose(page, "how was the pond?", "More reactions…");
  await page.getByRole("searchbox", { name: "Search emoji" }).fill("snail");
  await page.getByRole("gridcell", { name: "Snail" }).click();
  await message(page, "how was the pond?").getByRole("button", { name: "🐌 1 reaction", pressed: true }).waitFor();
});
