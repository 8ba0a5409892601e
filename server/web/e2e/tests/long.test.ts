import type { Page } from "playwright-core";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { message, openConversation, send, signUp, state, timeline } from "../harness/ui.js";

const total = 50_000;

test("a conversation of 50,000 messages scrolls back without losing its place, and takes new ones", async ({
  open,
  ownServer,
}) => {
  const page = await (await open({}, ownServer.url)).tab();
  const me = await signUp(page, "Historian");
  const friend = await Person.signUp(ownServer.url, "Chronicler");
  const conversation = await friend.direct(me);
  await friend.sendMany(conversation, total, (n) => `entry ${n}.`);
  await openConversation(page, "Chronicler");
  await jumpToNewest(page);
  await message(page, `entry ${total}.`).waitFor();
  expect(await timeline(page).getByRole("article").count(), "messages in the page").toBeLessThan(300);

  // Wheel upwards: what is read goes down, older messages join above, and nothing jumps.
  let top = await firstSeen(page);
  for (let i = 0; i < 40; i++) {
    await page.mouse.wheel(0, -1500);
    await expect.poll(() => firstSeen(page)).toBeLessThan(top);
    const now = await firstSeen(page);
    expect(top - now, "messages passed by one turn of the wheel").toBeLessThan(120);
    top = now;
  }
  expect(total - top, "messages scrolled back").toBeGreaterThan(500);

  await friend.send(conversation, "news from the end");
  await expect.poll(() => firstSeen(page)).toBe(top);
  await jumpToNewest(page);
  await message(page, "news from the end").waitFor();
  await send(page, "noted");
  await state(page, "noted", /Sent|Delivered/).waitFor();
});

async function jumpToNewest(page: Page): Promise<void> {
  await page.getByRole("button", { name: /Jump to the newest message/ }).click();
}

/** The number of the first entry of which something is in view. */
function firstSeen(page: Page): Promise<number> {
  return timeline(page).evaluate((log) => {
    const top = log.getBoundingClientRect().top;
    const rows = [...log.querySelectorAll("article")].filter((row) => row.getBoundingClientRect().bottom > top);
    return Number(/entry (\d+)\./.exec(rows[0]?.textContent ?? "")?.[1]);
  });
}
