import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { launchOptions, patience } from "../harness/device.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { message, openConversation, send, signUp, state } from "../harness/ui.js";

test("where the browser keeps nothing for any site, a chat lasts as long as its tab", async ({ server, onTestFinished }) => {
  const profile = await mkdtemp(join(tmpdir(), "natterjack-profile-"));
  await mkdir(join(profile, "Default"));
  // As in Chromium's settings: "sites may not save data on your device". IndexedDB, Web Locks, caches and localStorage then refuse, each in its own way.
  const preferences = { profile: { default_content_setting_values: { cookies: 2 } } };
  await writeFile(join(profile, "Default/Preferences"), JSON.stringify(preferences));
  const context = await chromium.launchPersistentContext(profile, { ...launchOptions, baseURL: server.url });
  onTestFinished(async () => {
    await context.close();
    await rm(profile, { recursive: true, maxRetries: 20, retryDelay: 100 }); // processes of Chromium may end after it, and write
  });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  await page.goto("/");
  const refused = page.evaluate(() => navigator.locks.request("any", () => {}));
  await expect(refused, "the browser refuses locks").rejects.toThrow("SecurityError");
  const me = await signUp(page, "Nora");
  const friend = await Person.signUp(server.url, "Friend");
  await friend.send(await friend.direct(me), "can you hear me?");
  await openConversation(page, "Friend");
  await message(page, "can you hear me?").waitFor();
  await send(page, "loud and clear");
  await state(page, "loud and clear", /Sent|Delivered|Read/).waitFor();
});
