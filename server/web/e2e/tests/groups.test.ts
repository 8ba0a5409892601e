import { MemberRole } from "@natterjack/proto/chat/v1/conversation_pb.js";
import { networkErrors } from "../harness/device.js";
import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { composer, entry, message, openConversation, send, signUp, state, timeline } from "../harness/ui.js";

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
  await message(guest, "welcome").focus();
  await guest.keyboard.press("Enter");
  await guest.getByRole("menu").waitFor();
  expect(await guest.getByRole("menuitem").allInnerTexts(), "what a reader may do").toEqual(["Copy text", "Info"]);
  await guest.keyboard.press("Escape");
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

test("a message that is refused says so, and can be sent again once it may be", async ({ open, server }) => {
  const device = await open();
  device.tolerate(...networkErrors);
  const page = await device.tab();
  const me = await signUp(page, "Rhea");
  const owner = await Person.signUp(server.url, "Opal");
  const group = await owner.group("Marsh", [me]);
  await owner.send(group, "quiet, please");
  await openConversation(page, "Marsh");
  await message(page, "quiet, please").waitFor();

  await device.context.setOffline(true);
  await send(page, "may I?");
  await state(page, "may I?", "Waiting for a connection").waitFor();
  await owner.chat.updateMember({ conversationId: group, userId: me.id, role: MemberRole.READER });
  await device.context.setOffline(false);
  const refused = message(page, "may I?");
  await refused.getByText("Not sent. Readers can't send in this conversation.").waitFor();
  await owner.chat.updateMember({ conversationId: group, userId: me.id, role: MemberRole.MEMBER });
  await composer(page).waitFor();
  await refused.getByRole("button", { name: "Try again" }).click();
  await state(page, "may I?", /Sent|Delivered|Read/).waitFor();
  await expect.poll(async () => (await owner.history(group)).map((m) => m.content)).toEqual(["quiet, please", "may I?"]);
});
