/** Photographs every screen in three sizes, light and dark, with nothing, the usual and the extreme on it. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BrowserContextOptions, Page } from "playwright-core";
import { phone } from "./harness/device.js";
import { root } from "./harness/server.js";
import { test } from "./harness/test.js";
import { empty, inside, outside, type Screen } from "./harness/tour.js";
import { conversations, signIn, signUp } from "./harness/ui.js";
import { extremeWorld, usualWorld } from "./harness/world.js";

const folder = join(root, ".cache/screenshots");

const sizes: Record<string, BrowserContextOptions> = {
  "360x800": phone,
  "768x1024": { viewport: { width: 768, height: 1024 } },
  "1440x900": { viewport: { width: 1440, height: 900 } },
};

async function photograph(page: Page, content: string, size: string, screens: readonly Screen[]): Promise<void> {
  for (const screen of screens) {
    await screen.show(page);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await mkdir(join(folder, content), { recursive: true });
      await page.screenshot({ path: join(folder, content, `${screen.name}-${size}-${colorScheme}.png`) });
    }
  }
}

test("without an account, and with a new one", async ({ open }) => {
  for (const [size, options] of Object.entries(sizes)) {
    const device = await open(options);
    device.tolerate(/status of 400/);
    const page = await device.tab();
    await photograph(page, "empty", size, outside);
    await page.goto("/");
    await signUp(page, "Newcomer");
    await photograph(page, "empty", size, empty);
  }
});

test.for([
  ["usual", (url: string) => usualWorld(url, (name) => name.toLowerCase().replace(" ", "."))],
  ["extreme", extremeWorld],
] as const)("%s", async ([content, make], { open, server }) => {
  const world = await make(server.url);
  for (const [size, options] of Object.entries(sizes)) {
    const device = await open(options);
    device.tolerate(/status of 400/);
    const page = await device.tab();
    await signIn(page, world.me.username);
    await conversations(page).waitFor();
    await photograph(page, content, size, inside(world));
  }
  world.close();
});
