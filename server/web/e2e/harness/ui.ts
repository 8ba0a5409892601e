/** What people do and see, by the names and roles that a screen reader tells: a test that finds something has shown that others can. */

import { fromBinary } from "@bufbuild/protobuf";
import { SignUpResponseSchema } from "@natterjack/proto/auth/v1/auth_service_pb.js";
import type { Locator, Page } from "playwright-core";
import { expect } from "vitest";
import { newName, password } from "./person.js";

/** Makes an account, as somebody who opens the application for the first time does. */
export async function signUp(
  page: Page,
  displayName: string,
  username = newName("user"),
): Promise<{ id: string; username: string }> {
  await page.getByRole("link", { name: "Make an account" }).click();
  await page.getByRole("textbox", { name: "Username" }).fill(username);
  await page.getByRole("textbox", { name: "Shown name" }).fill(displayName);
  await page.getByLabel("Password", { exact: true }).fill(password);
  const answered = page.waitForResponse(/AuthService\/SignUp/);
  await page.getByRole("button", { name: "Make account" }).click();
  const { user } = fromBinary(SignUpResponseSchema, await (await answered).body());
  await conversations(page).waitFor();
  return { id: user?.id ?? "", username };
}

export async function signIn(page: Page, username: string, secret = password): Promise<void> {
  await page.getByRole("textbox", { name: "Username" }).fill(username);
  await page.getByLabel("Password", { exact: true }).fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The list of conversations. */
export function conversations(page: Page): Locator {
  return page.getByRole("navigation", { name: "Conversations" });
}

/** The entry of a conversation in the list. */
export function entry(page: Page, title: string): Locator {
  return conversations(page).getByRole("link").filter({ hasText: title });
}

export async function openConversation(page: Page, title: string): Promise<void> {
  await entry(page, title).click();
  await composer(page).waitFor();
}

/** Where messages are written. */
export function composer(page: Page): Locator {
  return page.getByRole("main").getByRole("textbox", { name: /message/i });
}

export async function send(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

/** The messages that are on screen. */
export function timeline(page: Page): Locator {
  return page.getByRole("log");
}

/**
 * A message of the conversation on screen that has this text. The time follows the text, so one with a number wants an end: "lamp 3" at
 * 02:29 has "lamp 30" in it.
 */
export function message(page: Page, text: string | RegExp): Locator {
  return timeline(page).getByRole("article").filter({ hasText: text });
}

/** How far one of the own messages has come, as a word beside it. */
export function state(page: Page, text: string, word: string | RegExp): Locator {
  return message(page, text).getByRole("img", { name: word });
}

/** Opens the menu of a message and chooses from it. */
export async function choose(page: Page, text: string, action: string): Promise<void> {
  await message(page, text).first().focus(); // later ones may quote it
  await page.keyboard.press("Enter");
  await page.getByRole("menu").getByRole("menuitem", { name: action, exact: true }).click();
}

/** Rests a finger on something until the page has noticed: it says so by shaking the device. */
export async function longPress(page: Page, target: Locator): Promise<void> {
  const box = await settledBox(page, target);
  const point = { x: box.x + Math.min(60, box.width / 2), y: box.y + box.height / 2 };
  const noticed = page.evaluate(() => new Promise<void>((resolve) => Object.assign(navigator, { vibrate: () => resolve() })));
  const finger = await page.context().newCDPSession(page);
  await finger.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: [point] });
  await noticed;
  await finger.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  await finger.detach();
}

/** Where something is, once it stays there: what is above it may still be drawn. */
async function settledBox(page: Page, target: Locator) {
  for (let before = await target.boundingBox(), same = 0; ; ) {
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
    const now = await target.boundingBox();
    same = now !== null && now.y === before?.y && now.height === before.height ? same + 1 : 0;
    if (now !== null && same === 5) return now;
    before = now;
  }
}

/** Signs out by the settings page. */
export async function signOut(page: Page): Promise<void> {
  await page.goto("/settings");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Sign out" }).click();
}

/** Waits until the service worker has all that a start without a network needs. */
export async function installed(page: Page): Promise<void> {
  await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
  });
}

/** All that the browser keeps for the page, as text. */
export function stored(page: Page): Promise<string> {
  return page.evaluate(async () => {
    const done = <T>(request: IDBRequest<T>) =>
      new Promise<T>((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
    const all: unknown[] = [{ ...localStorage }, { ...sessionStorage }, document.cookie];
    for (const { name } of await indexedDB.databases()) {
      const database = await done(indexedDB.open(name ?? ""));
      for (const store of database.objectStoreNames)
        all.push(store, await done(database.transaction(store).objectStore(store).getAll()));
      database.close();
    }
    return JSON.stringify(all, (_, value) => (typeof value === "bigint" ? String(value) : value));
  });
}

/** Waits until a text is kept over the end of the page, in so many places: a message that was read is in the list and in its conversation. */
export async function kept(page: Page, text: string, places = 2): Promise<void> {
  await expect.poll(async () => (await stored(page)).split(text).length - 1).toBeGreaterThanOrEqual(places);
}
