import type { Browser, BrowserContextOptions } from "playwright-core";
import { test as base, expect } from "vitest";
import { Device, launch } from "./device.js";
import { Middlebox } from "./proxy.js";
import { Server } from "./server.js";

interface Fixtures {
  browser: Browser;
  /** The server of this file. Tests share it, so they use names of their own, and a {@link ownServer} to break. */
  server: Server;
  /** A server of this test. */
  ownServer: Server;
  /** A proxy before {@link ownServer}. */
  proxy: Middlebox;
  /** Opens a device; the test fails if anything went wrong on it, even if nobody looked. `url` is the shared server's where it is left out. */
  open: (options?: BrowserContextOptions, url?: string) => Promise<Device>;
}

/** Vitest's `test` with a server and devices. */
export const test = base.extend<Fixtures>({
  browser: [
    // biome-ignore lint/correctness/noEmptyPattern: the runner reads from the pattern what a fixture needs.
    async ({}, use) => {
      const browser = await launch();
      await use(browser);
      await browser.close();
    },
    { scope: "file" },
  ],
  server: [
    // biome-ignore lint/correctness/noEmptyPattern: as above.
    async ({}, use) => {
      const server = await Server.start();
      await use(server);
      await server.close();
    },
    { scope: "file" },
  ],
  // biome-ignore lint/correctness/noEmptyPattern: as above.
  ownServer: async ({}, use) => {
    const server = await Server.start();
    await use(server);
    await server.close();
  },
  proxy: async ({ ownServer }, use) => {
    const proxy = await Middlebox.start(ownServer.url);
    await use(proxy);
    await proxy.close();
  },
  open: async ({ browser, server, task }, use) => {
    const devices: Device[] = [];
    await use(async (options, url = server.url) => {
      const device = await Device.open(browser, url, options);
      devices.push(device);
      return device;
    });
    const name = task.name.replace(/[^A-Za-z0-9]+/g, "-");
    if (task.result?.state === "fail") {
      for (const [i, device] of devices.entries()) await device.photograph(`${name}-${i + 1}`);
    }
    const faults = (await Promise.all(devices.map((device) => device.close()))).flat();
    expect(faults, "what must not happen on any page").toEqual([]);
  },
});

export { expect };
