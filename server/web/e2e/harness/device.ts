import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type LaunchOptions,
  type Page,
} from "playwright-core";
import { root } from "./server.js";

/**
 * How long an action or a wait may take. Reached only by a test that fails: on a busy machine a server is back late, and a client that waits for it pauses for up to
 * half a minute.
 */
export const patience = 60_000;

/** What Chromium says of requests that found no network; a test that takes the network away expects it. */
export const networkErrors = [/^Failed to load resource: net::ERR_/, /^WebSocket connection to .* failed/];

/** Screens that tests use. */
export const desktop = { viewport: { width: 1280, height: 800 } } as const;
export const phone = { viewport: { width: 360, height: 800 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 } as const;

/** How Chromium is started: without a window. */
export const launchOptions: LaunchOptions = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // Chromium's own sandbox does not work for root, as whom containers of CI run.
  chromiumSandbox: process.getuid?.() !== 0,
};

/** Starts Chromium. It is closed with `browser.close()`. */
export function launch(...args: string[]): Promise<Browser> {
  return chromium.launch({ ...launchOptions, args });
}

/**
 * A browser profile of one person: its tabs share storage and nothing with other devices. It notes everything that must not
 * happen on any page: errors in the console, exceptions, breaches of the Content-Security-Policy, requests to elsewhere.
 */
export class Device {
  private readonly faults: string[] = [];
  private readonly tolerated: RegExp[] = [];

  private constructor(
    readonly context: BrowserContext,
    private readonly url: string,
  ) {}

  /** A fresh profile that will look at the server at `url`. */
  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Device> {
    const context = await browser.newContext({
      ...desktop,
      locale: "en-GB",
      reducedMotion: "no-preference",
      baseURL: url,
      ...options,
    });
    context.setDefaultTimeout(patience);
    const device = new Device(context, url);
    await device.watch();
    return device;
  }

  /** A new tab at a path. */
  async tab(path = "/"): Promise<Page> {
    const page = await this.context.newPage();
    await page.goto(path);
    return page;
  }

  /** Console errors of this form are no fault here. */
  tolerate(...patterns: RegExp[]): void {
    this.tolerated.push(...patterns);
  }

  /** Saves what each tab shows, for whoever has to find out why a test failed. */
  async photograph(name: string): Promise<void> {
    const folder = join(root, ".cache/e2e");
    await mkdir(folder, { recursive: true });
    for (const [i, page] of this.context.pages().entries()) {
      await page.screenshot({ path: join(folder, `${name}-${i + 1}.png`) }).catch(() => {});
    }
  }

  /** Closes all tabs; answers with what went wrong while they were open. */
  async close(): Promise<readonly string[]> {
    // What is on its way over a test's routes comes to nothing. A test may have closed everything by itself.
    await this.context.unrouteAll({ behavior: "ignoreErrors" }).catch(() => {});
    await this.context.close();
    return this.faults.filter((fault) => !this.tolerated.some((pattern) => pattern.test(fault)));
  }

  private async watch(): Promise<void> {
    const origin = new URL(this.url).origin;
    this.context.on("console", (message) => {
      if (message.type() === "error") this.faults.push(`${message.text()} (${message.location().url})`);
    });
    this.context.on("weberror", (error) => this.faults.push(`uncaught: ${error.error().stack ?? error.error()}`));
    this.context.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && url.origin !== origin) this.faults.push(`request to elsewhere: ${request.url()}`);
    });
    await this.context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(
          `Content-Security-Policy: ${event.violatedDirective} forbids ${event.blockedURI} (${event.sourceFile}:${event.lineNumber})`,
        );
      });
    });
  }
}
