import type { Page } from "playwright-core";
import { expect } from "vitest";
import { composer, conversations, message, timeline } from "./ui.js";
import type { World } from "./world.js";

/** Something to look at, and the way to it from wherever the page is. */
export interface Screen {
  readonly name: string;
  show(page: Page): Promise<unknown>;
}

/** What is seen without an account. */
export const outside: readonly Screen[] = [
  { name: "sign-in", show: (page) => go(page, "/sign-in") },
  { name: "sign-up", show: (page) => go(page, "/sign-up") },
  {
    name: "sign-up-refused",
    show: async (page) => {
      await go(page, "/sign-up");
      await page.getByRole("textbox", { name: "Username" }).fill("valid-name");
      await page.getByRole("textbox", { name: "Shown name" }).fill("\u202eturned around");
      await page.getByLabel("Password", { exact: true }).fill("long enough");
      await page.getByRole("button", { name: "Make account" }).click();
      await page
        .getByText(/characters|invalid|not/i)
        .last()
        .waitFor();
    },
  },
];

/** What somebody sees who has just made an account. */
export const empty: readonly Screen[] = [
  { name: "empty-list", show: (page) => go(page, "/") },
  { name: "empty-new", show: (page) => dialog(page, "New conversation") },
];

/** What somebody sees in the middle of a life with conversations. */
export function inside(world: World): readonly Screen[] {
  const at = (id: string) => `/c/${id}`;
  return [
    { name: "list", show: (page) => go(page, "/") },
    { name: "direct", show: (page) => conversation(page, at(world.direct.id)) },
    { name: "group", show: (page) => conversation(page, at(world.group.id)) },
    ...world.more.map(({ id, name }) => ({ name, show: (page: Page) => conversation(page, at(id)) })),
    { name: "message-menu", show: (page) => messageMenu(page, at(world.direct.id)) },
    {
      name: "reply",
      show: async (page) => {
        await messageMenu(page, at(world.direct.id));
        await page.getByRole("menuitem", { name: "Reply" }).click();
        await composer(page).fill(
          "An answer of some length, so that the field where it is written has to grow a little.\n\nAnd a second paragraph.",
        );
      },
    },
    {
      name: "emoji",
      show: async (page) => {
        await conversation(page, at(world.direct.id));
        await page.getByRole("button", { name: /emoji/i }).click();
        await page.getByRole("gridcell").first().waitFor();
      },
    },
    {
      name: "find",
      show: async (page) => {
        await conversation(page, at(world.direct.id));
        await page.getByRole("button", { name: "Search in this conversation" }).click();
        await page.getByRole("main").getByRole("searchbox").fill("a");
        await page.getByRole("main").getByRole("search").getByRole("listitem").first().waitFor();
      },
    },
    {
      name: "info",
      show: async (page) => {
        await messageMenu(page, at(world.group.id));
        await page.getByRole("menuitem", { name: "Info" }).click();
        await page.getByRole("dialog", { name: "Message" }).waitFor();
      },
    },
    { name: "details", show: (page) => go(page, `${at(world.group.id)}/details`) },
    { name: "details-direct", show: (page) => go(page, `${at(world.direct.id)}/details`) },
    {
      name: "search",
      show: async (page) => {
        await go(page, "/");
        await conversations(page).getByRole("searchbox", { name: "Search" }).fill("a");
        await conversations(page).getByRole("heading", { name: "Messages" }).waitFor();
      },
    },
    {
      name: "delete",
      show: async (page) => {
        await messageMenu(page, at(world.direct.id));
        await page.getByRole("menuitem", { name: "Delete…" }).click();
        await page.getByRole("dialog").waitFor();
      },
    },
    {
      name: "member-menu",
      show: async (page) => {
        await go(page, `${at(world.group.id)}/details`);
        await page
          .getByRole("button", { name: /^More about/ })
          .first()
          .click();
        await page.getByRole("menu").waitFor();
      },
    },
    ...["Add people", "Rename", "Leave"].map((name) => ({
      name: name.toLowerCase().replace(" ", "-"),
      show: async (page: Page) => {
        await go(page, `${at(world.group.id)}/details`);
        await page.getByRole("button", { name, exact: true }).click();
        await page.getByRole("dialog").waitFor();
      },
    })),
    {
      name: "unknown",
      show: async (page) => {
        await go(page, at("unknown"));
        await page.getByText("No such conversation").waitFor();
      },
    },
    { name: "new", show: (page) => dialog(page, "New conversation") },
    {
      name: "new-group",
      show: async (page) => {
        await dialog(page, "New conversation");
        await page.getByRole("dialog").getByText("A group").click();
        await page.getByRole("dialog").getByRole("searchbox", { name: "Find people" }).fill("nobody at all");
        await page.getByText("Nobody of that name.").waitFor();
      },
    },
    { name: "settings", show: (page) => go(page, "/settings") },
    {
      name: "sign-out",
      show: async (page) => {
        await go(page, "/settings");
        await page.getByRole("button", { name: "Sign out" }).click();
        await page.getByRole("dialog").waitFor();
      },
    },
  ];
}

/** Goes to an address, and waits until nothing there is still being loaded. */
async function go(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await page.getByRole("heading").first().waitFor();
  await expect.poll(() => page.getByRole("img", { name: /^Loading/ }).count()).toBe(0);
}

async function conversation(page: Page, path: string): Promise<void> {
  await go(page, path);
  await composer(page).waitFor();
  await message(page, /\S/).last().waitFor();
}

/** Opens the menu of the newest message. */
async function messageMenu(page: Page, path: string): Promise<void> {
  await conversation(page, path);
  await timeline(page).getByRole("article").last().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menu").waitFor();
}

async function dialog(page: Page, name: string): Promise<void> {
  await go(page, "/");
  await page.getByRole("button", { name }).first().click();
  await page.getByRole("dialog", { name }).waitFor();
}
