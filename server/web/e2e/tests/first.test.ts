import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { composer, conversations, installed, message, signIn } from "../harness/ui.js";

/** In bytes: all scripts of the first view, as they come over the network, without headers. */
const budget = 150_000;

test("the first view is small, comes compressed, brings nothing of other views, and does not jump", async ({ open, server }) => {
  const device = await open({ serviceWorkers: "block" });
  const page = await device.tab();
  const me = await Person.signUp(server.url, "Lighthouse");
  const friend = await Person.signUp(server.url, "Keeper");
  const conversation = await friend.direct(me);
  for (let n = 1; n <= 30; n++) await friend.send(conversation, `lamp ${n}.`);
  await signIn(page, me.username);
  await conversations(page).getByText("lamp 30.").waitFor();

  await page.addInitScript(() => {
    const jumps: number[] = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) jumps.push((entry as unknown as { value: number }).value);
    }).observe({ type: "layout-shift", buffered: true });
    Object.assign(window, { jumps });
  });
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  await network.send("Network.setCacheDisabled", { cacheDisabled: true });
  const scripts = new Map<string, string>();
  const plain: string[] = [];
  let bytes = 0;
  network.on("Network.responseReceived", ({ requestId, type, response }) => {
    if (type !== "Script") return;
    scripts.set(requestId, response.url);
    const headers = new Map(Object.entries(response.headers).map(([name, value]) => [name.toLowerCase(), value]));
    // What is as short as theme.js gains nothing.
    if (!headers.has("content-encoding") && Number(headers.get("content-length")) > 512) plain.push(response.url);
  });
  network.on("Network.dataReceived", ({ requestId, encodedDataLength }) => {
    if (scripts.has(requestId)) bytes += encodedDataLength;
  });
  await page.goto(`/c/${conversation}`);
  await composer(page).waitFor();
  await message(page, "lamp 30.").waitFor();
  await page.getByRole("main").getByText("Offline").waitFor();

  const names = [...scripts.values()].map((url) => new URL(url).pathname);
  expect(names.some((name) => name.startsWith("/assets/index-"))).toBe(true);
  expect(names.filter((name) => /Auth|Settings|Details|EmojiPicker|SearchResults|NewConversation/.test(name))).toEqual([]);
  expect(plain, "scripts that came as they are").toEqual([]);
  expect(bytes, "bytes of scripts").toBeLessThan(budget);
  const jumps = await page.evaluate(() => (window as unknown as { jumps: number[] }).jumps);
  expect(
    jumps.reduce((sum, jump) => sum + jump, 0),
    "how much of the page moved while it was loaded, as Lighthouse counts it",
  ).toBeLessThan(0.1);
});

test("a browser would install it", async ({ open }) => {
  const page = await (await open()).tab();
  await installed(page);
  const browser = await page.context().newCDPSession(page);
  const { errors, data } = await browser.send("Page.getAppManifest");
  expect(errors).toEqual([]);
  expect(JSON.parse(data ?? "")).toMatchObject({ name: "Natterjack", display: "standalone" });
  const { installabilityErrors } = await browser.send("Page.getInstallabilityErrors");
  // Each test has a profile of its own, as a private window has; nothing else is in the way.
  expect(installabilityErrors.map(({ errorId }) => errorId)).toEqual(["in-incognito"]);
});
