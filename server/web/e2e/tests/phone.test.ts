import type { Locator, Page } from "playwright-core";
import { phone } from "../harness/device.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { inside } from "../harness/tour.js";
import { composer, conversations, entry, longPress, message, signIn, signUp, timeline } from "../harness/ui.js";
import { extremeWorld } from "../harness/world.js";

test("on a phone one pane is shown at a time, everything fits, and a finger can do it", async ({ open, server }) => {
  const page = await (await open(phone)).tab();
  const me = await signUp(page, "Pocket");
  const friend = await Person.signUp(server.url, "Desk");
  const conversation = await friend.direct(me);
  await friend.send(conversation, `on the move? ${"longword".repeat(40)}`);
  await entry(page, "Desk").tap();
  await composer(page).waitFor();
  expect(await conversations(page).isVisible(), "the list beside the conversation").toBe(false);

  await composer(page).tap();
  await expect.poll(() => composer(page).evaluate((field) => field === document.activeElement)).toBe(true);
  await page.keyboard.type("first line");
  await page.keyboard.press("Enter");
  await page.keyboard.type("second line");
  await page.getByRole("button", { name: "Send" }).tap();
  await message(page, "second line").waitFor();
  // Enter begins a new line where the keyboard is on the screen.
  await expect.poll(async () => (await friend.history(conversation)).at(-1)?.content).toBe("first line\nsecond line");

  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(sideways, "pixels to scroll sideways").toBe(0);
  const small = await page
    .getByRole("button")
    .or(page.getByRole("link"))
    .evaluateAll((all) =>
      all
        .filter((e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !e.closest("article"))
        .map((e) => ({ name: e.getAttribute("aria-label") ?? e.textContent, ...e.getBoundingClientRect().toJSON() }))
        .filter((e) => e.width > 0 && (e.width < 44 || e.height < 44))
        .map((e) => `${e.name}: ${e.width}×${e.height}`),
    );
  expect(small, "targets smaller than a fingertip").toEqual([]);

  await page.goBack();
  await entry(page, "Desk").waitFor();
  expect(await timeline(page).count()).toBe(0);
});

test("on a phone nothing sticks out of the screen, however long names and words are", async ({ open, server }) => {
  const world = await extremeWorld(server.url);
  const device = await open(phone);
  device.tolerate(/status of 400/); // no such conversation
  const page = await device.tab();
  await signIn(page, world.me.username);
  await conversations(page).waitFor();
  const outside: Record<string, string[]> = {};
  const sticksOut = () =>
    page.evaluate(() =>
      [...document.querySelectorAll("button, a, label, input, textarea, p, h1, h2, h3, pre, time")]
        .filter(
          (e) =>
            e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) &&
            !e.matches(".hidden-visually, .hidden-visually *"),
        )
        .map((e) => ({
          name: `${e.localName} ${e.getAttribute("aria-label") ?? e.textContent}`,
          ...e.getBoundingClientRect().toJSON(),
        }))
        .filter((e) => e.width > 0 && (e.left < -0.5 || e.right > innerWidth + 0.5))
        .map((e) => `${e.name.slice(0, 40)}: ${e.left} to ${e.right}`),
    );
  for (const screen of inside(world)) {
    // The narrowest that there is, and what is left of 1280 pixels where everything is made four times as large (WCAG 2.2, 1.4.10).
    await page.setViewportSize({ width: 320, height: 800 });
    await screen.show(page);
    for (const width of [320, 360]) {
      await page.setViewportSize({ width, height: 800 });
      const found = await sticksOut();
      if (found.length > 0) outside[`${screen.name}, ${width}`] = found;
    }
  }
  world.close();
  expect(outside).toEqual({});
});

/** Has the page believe that it is in Safari, where the keyboard lies over it and has moved it up: so much is seen of it, from there on. */
async function cover(page: Page, seen: { offsetTop: number; height: number; scale: number }): Promise<void> {
  await page.evaluate((values) => {
    const { visualViewport } = window;
    for (const [name, value] of Object.entries(values))
      Object.defineProperty(visualViewport, name, { value, configurable: true });
    visualViewport?.dispatchEvent(new Event("resize"));
  }, seen);
}

test("the keyboard of a phone hides neither the line in which one writes nor what was said last", async ({ open, server }) => {
  const page = await (await open(phone)).tab();
  const me = await signUp(page, "Typist");
  const friend = await Person.signUp(server.url, "Reader");
  const conversation = await friend.direct(me);
  for (let n = 1; n <= 30; n++) await friend.send(conversation, `keystroke ${n}.`);
  await entry(page, "Reader").tap();
  await message(page, "keystroke 30.").waitFor();
  const header = page.getByRole("main").getByRole("heading", { level: 1 });
  /** Waits until all of this is between two heights of the page. */
  const within = (top: number, bottom: number, ...parts: Locator[]) =>
    expect
      .poll(async () => {
        const boxes = await Promise.all(parts.map((part) => part.boundingBox()));
        return boxes.filter((box) => !box || box.y < top || box.y + box.height > bottom);
      })
      .toEqual([]);
  const all = [header, message(page, "keystroke 30."), composer(page)];
  await within(0, 800, ...all);
  // Where the keyboard makes the page smaller.
  await page.setViewportSize({ width: 360, height: 440 });
  await within(0, 440, ...all);
  await page.setViewportSize({ width: 360, height: 800 });
  await within(0, 800, ...all);
  await cover(page, { offsetTop: 200, height: 440, scale: 1 });
  await within(200, 640, ...all);
  // Two fingers that enlarge the page are no keyboard.
  await cover(page, { offsetTop: 200, height: 400, scale: 2 });
  await within(0, 800, ...all);
  expect((await composer(page).boundingBox())?.y, "the line is at the end of the page").toBeGreaterThan(700);
  await cover(page, { offsetTop: 0, height: 800, scale: 1 });
  await page.goBack();
  await page.getByRole("button", { name: "New conversation" }).first().tap();
  const dialog = page.getByRole("dialog");
  await cover(page, { offsetTop: 100, height: 440, scale: 1 });
  await within(100, 540, dialog, dialog.getByRole("searchbox"));
});

test("a finger that rests on a message opens its menu, again and again", async ({ open, server }) => {
  const page = await (await open(phone)).tab();
  const me = await signUp(page, "Thumb");
  const friend = await Person.signUp(server.url, "Desk");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "press me");
  // So that it is above the menu, which comes from below.
  for (let n = 0; n < 8; n++) await friend.send(conversation, `and many more, number ${n}`);
  await entry(page, "Desk").tap();
  const menu = page.getByRole("menu");
  await longPress(page, message(page, "press me"));
  await menu.waitFor();
  // While it is open, and after it was closed.
  for (const close of [false, true]) {
    if (close) {
      await page.keyboard.press("Escape");
      await menu.waitFor({ state: "detached" });
    }
    await longPress(page, message(page, "press me"));
    await menu.waitFor();
    await menu.getByRole("menuitem", { name: "Reply" }).waitFor();
  }
  expect(await menu.count()).toBe(1);
});

test("on a wide screen list, conversation and details stand side by side", async ({ open, server }) => {
  const page = await (await open({ viewport: { width: 1440, height: 900 } })).tab();
  const me = await signUp(page, "Wide");
  const friend = await Person.signUp(server.url, "Wall");
  const group = await friend.group("Panorama", [me]);
  await page.goto(`/c/${group}/details`);
  await composer(page).waitFor();
  await page.getByRole("complementary", { name: "Details" }).getByText("2 members").waitFor();
  await entry(page, "Panorama").waitFor();
  const boxes = await Promise.all(
    [conversations(page), page.getByRole("main"), page.getByRole("complementary", { name: "Details" })].map((pane) =>
      pane.boundingBox(),
    ),
  );
  for (let i = 1; i < boxes.length; i++) {
    const [left, right] = [boxes[i - 1], boxes[i]];
    expect((left?.x ?? 0) + (left?.width ?? 0)).toBeLessThanOrEqual((right?.x ?? 0) + 1);
  }
});
