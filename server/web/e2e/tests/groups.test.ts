import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { composer, entry, message, openConversation, send, signUp, timeline } from "../harness/ui.js";

test("a group is made, renamed, joined, ruled and left", async ({ open, server }) => {
  const owner = await (await open()).tab();
  await signUp(owner, "Olive Owner");
  const pat = await Person.signUp(server.url, "Pat");
  const guest = await (await open()).tab();
  const { username } = await signUp(guest, "Gus Guest");

  await owner.getByRole("button", { name: "New conversation" }).first().click();
  const dialog = owner.getByRole("dialog");
  await dialog.getByText("A group").click();
  await dialog.getByRole("textbox", { name: "Title" }).fill("Pond");
  await dialog.getByRole("searchbox", { name: "Find people" }).fill(pat.username);
  await dialog.getByRole("button", { name: pat.username }).click();
  await dialog.getByRole("button", { name: "Create group" }).click();
  await send(owner, "welcome");
  await message(owner, "welcome").waitFor();

  await owner.getByRole("main").getByRole("button", { name: "Details" }).click();
  const details = owner.getByRole("complementary", { name: "Details" });
  await details.getByText("2 members").waitFor();
  await details.getByRole("button", { name: "Rename" }).click();
  await owner.getByRole("dialog").getByRole("textbox", { name: "Title" }).fill("Frog pond");
  await owner.getByRole("dialog").getByRole("button", { name: "Rename" }).click();
  await entry(owner, "Frog pond").waitFor();

  await details.getByRole("button", { name: "Add people" }).click();
  await owner.getByRole("dialog").getByRole("searchbox", { name: "Find people" }).fill(username);
  await owner.getByRole("dialog").getByRole("button", { name: username }).click();
  await owner.getByRole("dialog").getByRole("button", { name: "Add", exact: true }).click();
  await details.getByText("3 members").waitFor();
  await openConversation(guest, "Frog pond");
  await message(guest, "welcome").waitFor();
  await send(guest, "glad to be here");
  await message(owner, "glad to be here").waitFor();
  expect(await timeline(owner).getByText("New messages").count(), "dividers before what came while one reads").toBe(0);

  await details.getByRole("button", { name: "More about Gus Guest" }).click();
  await owner.getByRole("menuitem", { name: "Make reader" }).click();
  await expect.poll(() => composer(guest).count()).toBe(0);
  await details.getByRole("button", { name: "More about Gus Guest" }).click();
  await owner.getByRole("menuitem", { name: "Make member" }).click();
  await send(guest, "I may speak again");
  await message(owner, "I may speak again").waitFor();

  await details.getByRole("button", { name: "More about Gus Guest" }).click();
  await owner.getByRole("menuitem", { name: "Remove from group" }).click();
  await owner.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await details.getByText("2 members").waitFor();
  await expect.poll(() => entry(guest, "Frog pond").count()).toBe(0);
  await expect.poll(() => message(guest, "welcome").count()).toBe(0);

  await details.getByRole("button", { name: "More about Pat" }).click();
  await owner.getByRole("menuitem", { name: "Make owner" }).click();
  await details.getByText("Owner", { exact: true }).nth(1).waitFor();
  await details.getByRole("button", { name: "Leave" }).click();
  await owner.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
  await expect.poll(() => entry(owner, "Frog pond").count()).toBe(0);
});
