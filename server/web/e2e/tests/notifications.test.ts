import type { Page } from "playwright-core";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { composer, installed, message, signUp } from "../harness/ui.js";

/** Makes tab and service worker believe that nobody looks: Chromium without a window always shows all its tabs. */
async function hide(page: Page): Promise<void> {
  await page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  const [worker] = page.context().serviceWorkers();
  await worker?.evaluate(() => {
    const { WindowClient } = globalThis as unknown as { WindowClient: { prototype: object } };
    Object.defineProperty(WindowClient.prototype, "visibilityState", { value: "hidden" });
  });
}

const notices = (page: Page) =>
  page.evaluate(async () => {
    const all = await (await navigator.serviceWorker.ready).getNotifications();
    return all.map(({ title, body }) => ({ title, body }));
  });

test("on request, a message that comes while nobody looks is told of, and leads to its conversation", async ({
  open,
  server,
}) => {
  const device = await open({ permissions: ["notifications"] });
  const page = await device.tab();
  const me = await signUp(page, "Noah");
  await installed(page);
  const friend = await Person.signUp(server.url, "Wren");
  const conversation = await friend.direct(me);
  await page.goto("/settings");
  const wanted = page.getByRole("switch", { name: "Notify me" });
  expect(await wanted.isChecked(), "nobody is told without having asked").toBe(false);
  await wanted.click();
  await expect.poll(() => wanted.isChecked()).toBe(true);

  // In another conversation: notices of one replace each other.
  await friend.send(await friend.group("Nest", [me]), "seen as it comes");
  await page.getByRole("link").filter({ hasText: "seen as it comes" }).waitFor();
  expect(await notices(page)).toEqual([]);

  await hide(page);
  await friend.send(conversation, "**nobody** looks");
  await expect.poll(() => notices(page)).toEqual([{ title: "Wren", body: "nobody looks" }]);
  const [worker] = page.context().serviceWorkers();
  await worker?.evaluate(async () => {
    const scope = globalThis as unknown as {
      registration: ServiceWorkerRegistration;
      NotificationEvent: new (type: string, init: { notification?: Notification }) => Event;
    };
    const [notification] = await scope.registration.getNotifications();
    dispatchEvent(new scope.NotificationEvent("notificationclick", { ...(notification && { notification }) }));
  });
  await composer(page).waitFor();
  await message(page, "nobody looks").waitFor();
  expect(new URL(page.url()).pathname).toBe(`/c/${conversation}`);
  await expect.poll(() => notices(page)).toEqual([]);
});
