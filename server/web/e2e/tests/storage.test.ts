import type { Page } from "playwright-core";
import { networkErrors } from "../harness/device.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { kept, message, openConversation, send, signUp, state } from "../harness/ui.js";

/** Puts something into each place of a database of the page that is filled by the server, and in place of its token. */
async function spoil(page: Page, name: string): Promise<void> {
  await page.evaluate(async (database) => {
    const db = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(database);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const tx = db.transaction(["conversations", "users", "tails", "meta"], "readwrite");
    for (const store of ["conversations", "users", "tails"]) {
      const keys = tx.objectStore(store).getAllKeys();
      keys.onsuccess = () => {
        for (const key of [...keys.result, "garbage"]) tx.objectStore(store).put({ id: 7, messages: [null] }, key);
      };
    }
    tx.objectStore("meta").put({ garbage: true }, "token");
    tx.objectStore("meta").put([], "account");
    await new Promise((resolve, reject) => {
      tx.oncomplete = resolve;
      tx.onabort = reject;
    });
    db.close();
  }, name);
}

test("garbage in what the browser keeps holds up no start, and a queued message is sent all the same", async ({
  open,
  ownServer,
  proxy,
}) => {
  const device = await open({}, proxy.url);
  device.tolerate(...networkErrors);
  const page = await device.tab();
  const me = await signUp(page, "Garbo");
  const friend = await Person.signUp(ownServer.url, "Gustaf");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "from the server");
  await openConversation(page, "Gustaf");
  await message(page, "from the server").waitFor();

  proxy.turn("dark");
  proxy.cut();
  await send(page, "not lost");
  await state(page, "not lost", /Waiting for a connection|Sending/).waitFor();
  await kept(page, "not lost", 1);
  await spoil(page, "natterjack.chat");

  proxy.turn("open");
  await page.reload();
  await message(page, "from the server").waitFor();
  await state(page, "not lost", /Sent|Delivered/).waitFor();
  expect((await friend.history(conversation)).map((m) => m.content)).toEqual(["from the server", "not lost"]);
});

test("a database that never answers holds up no start: one can sign up, write and read for as long as the page is open", async ({
  open,
  server,
}) => {
  const device = await open();
  const html = '<!doctype html><link rel="icon" href="data:,">';
  await device.context.route("**/holder.html", (route) => route.fulfill({ contentType: "text/html", body: html }));
  const holder = await device.tab("/holder.html");
  // Chromium opens no database that waits to be deleted, and deletes none that somebody has open.
  await holder.evaluate(async () => {
    const held = ["natterjack.session", "natterjack.chat"].map(
      (name) =>
        new Promise((resolve) => {
          const request = indexedDB.open(name);
          request.onsuccess = () => {
            Object.assign(globalThis, { [name]: request.result }); // or it would be let go of as garbage
            indexedDB.deleteDatabase(name).onblocked = resolve;
          };
        }),
    );
    await Promise.all(held);
  });

  const page = await device.tab();
  const me = await signUp(page, "Patience"); // the client waits twice for ten seconds
  const friend = await Person.signUp(server.url, "Hope");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "are you there?");
  await openConversation(page, "Hope");
  await message(page, "are you there?").waitFor();
  await send(page, "only here");
  await state(page, "only here", /Sent|Delivered/).waitFor();
  await page.getByText("This browser stores nothing.").waitFor();
});
