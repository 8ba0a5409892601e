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
  await message(page, `entry ${total}.`).waitFor();
  expect(await timeline(page).getByRole("article").count(), "messages in the page").toBeLessThan(300);

  // Wheel upwards: what is read goes down, older messages join above, and nothing jumps.
  await timeline(page).hover();
  let top = await settled(page);
  for (let i = 0; i < 40; i++) {
    await page.mouse.wheel(0, -1500);
    await expect.poll(() => firstSeen(page)).toBeLessThan(top);
    const now = await settled(page);
    expect(top - now, "messages passed by one turn of the wheel").toBeLessThan(120);
    top = now;
  }
  expect(total - top, "messages scrolled back").toBeGreaterThan(500);

  const before = await offset(page, top + 3);
  await friend.send(conversation, "news from the end");
  await page.getByRole("button", { name: /Jump to the newest message, 1 unread/ }).waitFor();
  expect(await offset(page, top + 3), "where the same entry stands, in pixels").toBeCloseTo(before, 0);
  await jumpToNewest(page);
  await message(page, "news from the end").waitFor();
  await send(page, "noted");
  await state(page, "noted", /Sent|Delivered/).waitFor();
});

async function jumpToNewest(page: Page): Promise<void> {
  await page.getByRole("button", { name: /Jump to the newest message/ }).click();
}

/** The first entry of which something is in view, and how far its end is below the upper edge of the log, in pixels. */
function firstInView(page: Page): Promise<{ entry: number; y: number }> {
  return timeline(page).evaluate((log) => {
    const top = log.getBoundingClientRect().top;
    const row = [...log.querySelectorAll("article")].find((row) => row.getBoundingClientRect().bottom > top);
    return {
      entry: Number(/entry (\d+)\./.exec(row?.textContent ?? "")?.[1]),
      y: (row?.getBoundingClientRect().bottom ?? 0) - top,
    };
  });
}

async function firstSeen(page: Page): Promise<number> {
  return (await firstInView(page)).entry;
}

/** As {@link firstSeen}, once nothing moves any more: a wheel's turn ends smoothly. */
async function settled(page: Page): Promise<number> {
  for (let before = await firstInView(page), same = 0; ; ) {
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    const now = await firstInView(page);
    same = now.entry === before.entry && now.y === before.y ? same + 1 : 0;
    if (same === 5) return now.entry;
    before = now;
  }
}

/** How far an entry is below the upper edge of the window, in pixels. */
async function offset(page: Page, entry: number): Promise<number> {
  const box = await message(page, `entry ${entry}.`).boundingBox();
  if (!box) throw new Error(`entry ${entry} is not on the page`);
  return box.y;
}
