import { Person, password } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { conversations, entry, openConversation, signIn, signOut, signUp, stored } from "../harness/ui.js";

const refused = (status: number) => new RegExp(`the server responded with a status of ${status}`);

test("somebody signs up, signs out, and signs in again", async ({ open }) => {
  const page = await (await open()).tab();
  const { username } = await signUp(page, "Ada Lovelace");
  await signOut(page);
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await signIn(page, username);
  await conversations(page).waitFor();
  await page.reload();
  await conversations(page).waitFor();
});

test("signing out leaves nothing of the account in the browser", async ({ open, server }) => {
  const device = await open();
  const page = await device.tab();
  const me = await signUp(page, "Grace");
  const friend = await Person.signUp(server.url, "Hedy");
  await friend.send(await friend.direct(me), "a secret of ours");
  await conversations(page).getByText("a secret of ours").waitFor();
  await signOut(page);
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  expect(await page.evaluate(() => document.body.textContent)).not.toContain("a secret of ours");
  // It is cleared while the form shows already.
  await expect.poll(() => stored(page)).not.toMatch(/a secret of ours|nja_|njr_/);
});

test("a taken name and a wrong password are said beside the form, and typing again helps", async ({ open, server }) => {
  const device = await open();
  device.tolerate(refused(401), refused(409));
  const page = await device.tab("/sign-up");
  const taken = await Person.signUp(server.url, "First");
  await page.getByRole("textbox", { name: "Username" }).fill(taken.username.toUpperCase());
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Make account" }).click();
  await page.getByText("Somebody has this name already").waitFor();

  await page.getByRole("link", { name: "Sign in" }).click();
  await signIn(page, taken.username, "not the password");
  await page.getByRole("alert").getByText("The username or the password is not right").waitFor();
  await signIn(page, taken.username);
  await conversations(page).waitFor();
});

test("a session that is revoked on another device ends here at once, with a word why", async ({ open }) => {
  const lost = await open();
  lost.tolerate(refused(401)); // what it hears of the server
  const lostPage = await lost.tab();
  const { username } = await signUp(lostPage, "Lost Phone");
  const other = await (await open()).tab();
  await signIn(other, username);
  await conversations(other).waitFor();

  await other.goto("/settings");
  await other.getByRole("button", { name: "End all other sessions" }).click();
  await other.getByRole("dialog").getByRole("button", { name: "End", exact: true }).click();
  await lostPage.getByText("This session was ended").waitFor();
  await lostPage.getByRole("button", { name: "Sign in" }).waitFor();
  await other.reload();
  await conversations(other).waitFor();
});

test("a new name is seen by others who look again, and a new password ends all other sessions", async ({ open, server }) => {
  const page = await (await open()).tab();
  const { id, username } = await signUp(page, "Old Name");
  const phone = await open();
  phone.tolerate(refused(401)); // what it hears of the server
  const phonePage = await phone.tab();
  await signIn(phonePage, username);
  await conversations(phonePage).waitFor();
  const other = await (await open()).tab();
  const friend = await signUp(other, "Friend");
  const made = await Person.signUp(server.url, "Third");
  await made.group("All of us", [{ id }, friend]);
  await openConversation(other, "All of us");
  await other.getByRole("main").getByRole("button", { name: "Details" }).click();
  const details = other.getByRole("complementary", { name: "Details" });
  await details.getByText("Old Name").waitFor();

  await page.goto("/settings");
  await page.getByRole("textbox", { name: "Shown name" }).fill("New Name");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("status").getByText("Your profile is saved.").waitFor();
  await other.reload();
  await details.getByText("New Name").waitFor();

  await page.getByLabel("Current password", { exact: true }).fill(password);
  await page.getByLabel("New password", { exact: true }).fill("quite another secret");
  await page.getByRole("button", { name: "Change password" }).click();
  await phonePage.getByText("This session was ended").waitFor();
  await signIn(phonePage, username, "quite another secret");
  await entry(phonePage, "All of us").waitFor();
  await entry(page, "All of us").waitFor();
});

test("a chosen theme wins over the system's, and holds after a reload", async ({ open }) => {
  const page = await (await open({ colorScheme: "light" })).tab();
  await signUp(page, "Night Owl");
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.goto("/settings");
  await page.getByRole("radio", { name: "Dark" }).check();
  await expect.poll(ground).not.toBe(light);
  const dark = await ground();
  await page.reload({ waitUntil: "commit" });
  await page.getByRole("radio", { name: "Dark", checked: true }).waitFor();
  expect(await ground()).toBe(dark);
  await page.getByRole("radio", { name: "System" }).check();
  await expect.poll(ground).toBe(light);
});
