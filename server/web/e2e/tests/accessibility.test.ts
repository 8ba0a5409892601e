import type { BrowserContextOptions, Locator } from "playwright-core";
import { describe } from "vitest";
import { violations } from "../harness/axe.js";
import { desktop, phone } from "../harness/device.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { empty, inside, outside, type Screen } from "../harness/tour.js";
import { composer, conversations, message, signIn, signUp } from "../harness/ui.js";
import { usualWorld } from "../harness/world.js";

const sizes: Record<string, BrowserContextOptions> = { desktop, phone };

describe.each(Object.entries(sizes))("on a %s", (_, size) => {
  test("axe-core finds nothing serious on any screen, light or dark", async ({ open, server }) => {
    const world = await usualWorld(server.url);
    const found: Record<string, string[]> = {};
    const look = async (page: Awaited<ReturnType<typeof tab>>, screens: readonly Screen[]) => {
      for (const screen of screens) {
        await screen.show(page);
        for (const colorScheme of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
          const problems = await violations(page);
          if (problems.length > 0) found[`${screen.name}, ${colorScheme}`] = problems;
        }
      }
    };
    const tab = async () => {
      const device = await open(size);
      device.tolerate(/status of 400/);
      return device.tab();
    };
    const newcomer = await tab();
    await look(newcomer, outside);
    await newcomer.goto("/");
    await signUp(newcomer, "Newcomer");
    await look(newcomer, empty);
    const page = await tab();
    await signIn(page, world.me.username);
    await conversations(page).waitFor();
    await look(page, inside(world));
    world.close();
    expect(found).toEqual({});
  });
});

test("the keyboard alone goes from signing in to an answer", async ({ open, server }) => {
  const page = await (await open()).tab();
  const me = await Person.signUp(server.url, "Kay Board");
  const friend = await Person.signUp(server.url, "Finn");
  const conversation = await friend.direct(me);
  const { seq } = await friend.send(conversation, "no mouse today?");
  const { keyboard } = page;
  const focused = () =>
    page.evaluate(() => {
      const element = document.activeElement;
      return element === document.body ? "" : (element?.getAttribute("aria-label") ?? element?.textContent ?? "");
    });
  /** Presses Tab until the focus is on something of this name, as somebody would who listens. */
  const tabTo = async (name: RegExp) => {
    for (let i = 0; i < 25; i++) {
      if (name.test(await focused())) return;
      await keyboard.press("Tab");
    }
    throw new Error(`Tab does not lead to ${name}`);
  };

  await page.getByRole("textbox", { name: "Username" }).waitFor();
  await keyboard.type(me.username); // the form begins with the focus
  await keyboard.press("Tab");
  await keyboard.type("correct horse battery");
  await keyboard.press("Enter");
  await conversations(page).getByText("no mouse today?").waitFor();
  await tabTo(/Finn/);
  await keyboard.press("Enter");
  await message(page, "no mouse today?").waitFor();
  await tabTo(/^Message/);
  await keyboard.type("none at all");
  await keyboard.press("Enter");
  await message(page, "none at all").waitFor();
  for (let i = 0; i < 25 && !/no mouse today\?|none at all/.test(await focused()); i++) await keyboard.press("Shift+Tab");
  for (let i = 0; i < 5 && !/no mouse today\?/.test(await focused()); i++) await keyboard.press("ArrowUp");
  await keyboard.press("Enter");
  await page.getByRole("menu").waitFor();
  for (let i = 0; i < 10 && !/^Reply$/.test(await focused()); i++) await keyboard.press("ArrowDown");
  await keyboard.press("Enter");
  await keyboard.type("an answer by hand");
  await keyboard.press("Enter");
  await message(page, "an answer by hand").getByRole("button").filter({ hasText: "no mouse today?" }).waitFor();
  await expect.poll(async () => (await friend.history(conversation)).at(-1)?.replyToSeq).toBe(seq);
});

test("what is closed gives the focus back to what opened it", async ({ open, server }) => {
  const page = await (await open()).tab();
  const me = await signUp(page, "Fay");
  const friend = await Person.signUp(server.url, "Finn");
  await friend.send(await friend.direct(me), "focus");
  const group = await friend.group("Lens", [me]);
  await conversations(page).getByText("focus").click();
  await message(page, "focus").waitFor();
  const main = page.getByRole("main");
  const dialog = page.getByRole("dialog");
  const menu = page.getByRole("menu");
  /** Opens something by Enter (and more keys in its menu), closes it by Escape, and looks where the focus is then. */
  const opens = async (opener: Locator, what: Locator, ...keys: string[]) => {
    await opener.focus();
    await page.keyboard.press("Enter");
    if (keys.length > 0) await menu.waitFor();
    for (const key of keys) await page.keyboard.press(key);
    await what.waitFor();
    await page.keyboard.press("Escape");
    await what.waitFor({ state: "detached" });
    expect(await opener.evaluate((element) => element === document.activeElement), `${opener} has the focus`).toBe(true);
  };
  await opens(page.getByRole("button", { name: "New conversation" }).first(), dialog);
  await opens(main.getByRole("button", { name: "Search in this conversation" }), main.getByRole("search"));
  await opens(message(page, "focus"), menu);
  await opens(message(page, "focus"), page.getByRole("dialog", { name: "Message" }), "i", "Enter");
  await opens(message(page, "focus"), page.getByRole("dialog", { name: "Emoji" }), "Enter");
  await page.goto(`/c/${group}/details`);
  await opens(page.getByRole("button", { name: "More about Finn" }), menu);
  await opens(page.getByRole("button", { name: "Leave" }), dialog);
});

test("what is written from right to left reads so, in names, in messages and in the line in which one writes", async ({
  open,
  server,
}) => {
  const page = await (await open()).tab();
  const me = await signUp(page, "Lena");
  const friend = await Person.signUp(server.url, "عبد الرحمن");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "left to right");
  await friend.send(conversation, "مرحبا **Lena**!");
  const direction = (where: Locator) => where.evaluate((element) => getComputedStyle(element).direction);
  const line = conversations(page).getByText("مرحبا Lena!");
  expect(await direction(line)).toBe("rtl");
  expect(await direction(conversations(page).getByText("عبد الرحمن"))).toBe("rtl");
  await line.click();
  expect(await direction(page.getByRole("main").getByRole("heading", { name: "عبد الرحمن", level: 1 }))).toBe("rtl");
  expect(await direction(message(page, "مرحبا").getByText("مرحبا"))).toBe("rtl");
  expect(await direction(message(page, "left to right").getByText("left to right"))).toBe("ltr");
  await composer(page).fill("أهلا");
  expect(await direction(composer(page))).toBe("rtl");
  await composer(page).fill("hello");
  expect(await direction(composer(page))).toBe("ltr");
});

test("where less motion is wished for, nothing moves", async ({ open, server }) => {
  const page = await (await open()).tab();
  const me = await signUp(page, "Calm");
  const friend = await Person.signUp(server.url, "Still");
  await friend.send(await friend.direct(me), "softly");
  await conversations(page).getByText("softly").click();
  await message(page, "softly").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menu").waitFor();
  /** How many elements would move, were something to happen to them, for longer than an eye sees, or scroll gently. */
  const moving = () =>
    page.evaluate(() => {
      const longest = (durations: string) => Math.max(...durations.split(",").map(Number.parseFloat));
      return [...document.querySelectorAll("*")]
        .map((element) => getComputedStyle(element))
        .filter(
          (s) =>
            longest(s.transitionDuration) > 0.01 ||
            (s.animationName !== "none" && longest(s.animationDuration) > 0.01) ||
            s.scrollBehavior === "smooth",
        ).length;
    });
  expect(await moving(), "with no such wish something moves, or the test would show nothing").toBeGreaterThan(0);
  await page.emulateMedia({ reducedMotion: "reduce" });
  expect(await moving()).toBe(0);
});
