import { join } from "node:path";
import type { Page } from "playwright-core";
import { build } from "vite";
import { Person, password } from "../harness/person.js";
import { expect, test } from "../harness/test.js";

/** The script of the worker. */
async function bundled(): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: "error",
    resolve: { preserveSymlinks: true, dedupe: ["@bufbuild/protobuf"] },
    build: { write: false, rolldownOptions: { input: join(import.meta.dirname, "../harness/worker.ts") } },
  });
  const output = "output" in result ? result.output : [];
  if (output.length !== 1 || output[0]?.type !== "chunk") throw new Error("the worker is not one script");
  return output[0].code;
}

type Scope = typeof globalThis & { said: string[]; worker: Worker };

/** Starts the worker in a tab that has nothing else; the tab notes what it says. */
async function start(page: Page, script: string): Promise<void> {
  await page.evaluate((code) => {
    const scope = globalThis as Scope;
    scope.said = [];
    scope.worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
    scope.worker.onmessage = ({ data }) => scope.said.push(JSON.stringify(data));
    scope.worker.onerror = ({ message }) => scope.said.push(message);
  }, script);
}

/** Waits until the worker has said something. */
async function said(page: Page, what: object): Promise<void> {
  await expect.poll(() => page.evaluate(() => (globalThis as Scope).said)).toContain(JSON.stringify(what));
}

async function tell(page: Page, ...call: unknown[]): Promise<void> {
  await page.evaluate((c) => (globalThis as Scope).worker.postMessage(c), call);
}

test("the client works in a dedicated worker: it signs in, sends and receives over a WebSocket, and is known after a reload", async ({
  open,
  server,
}) => {
  const me = await Person.signUp(server.url, "Worker");
  const friend = await Person.signUp(server.url, "Friend of Worker");
  const conversation = await friend.direct(me);
  const script = await bundled();
  // The policy of the server's pages forbids such workers. Pages that the test makes up by itself would be taken for ones from elsewhere by Chromium, which
  // then opens no WebSocket to this machine.
  const device = await open({ bypassCSP: true });
  device.tolerate(/favicon\.ico/); // which browsers look for where a file doesn't name another one
  const page = await device.tab("/icon.svg");
  await start(page, script);
  await said(page, { account: "signed-out" });
  await tell(page, "signIn", { username: me.username, password });
  await said(page, { done: "signIn" });
  await said(page, { connection: { status: "live", over: "websocket" } });

  await tell(page, "send", conversation, "from the worker");
  await expect.poll(async () => (await friend.history(conversation)).map((m) => m.content)).toEqual(["from the worker"]);
  await friend.send(conversation, "to the worker");
  await said(page, { arrived: "to the worker" });

  await page.reload();
  await start(page, script);
  await said(page, { account: "signed-in" });
  await said(page, { connection: { status: "live", over: "websocket" } });
  await friend.send(conversation, "to the next worker");
  await said(page, { arrived: "to the next worker" });
  me.close();
  friend.close();
});
