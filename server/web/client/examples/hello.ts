import { type Chat, createChat, isChatError } from "@natterjack/client";

/** Signs in, says hello to a user, and waits until the message was read. */
export async function hello(chat: Chat, username: string): Promise<void> {
  try {
    await chat.signIn({ username: "alice", password: "correct horse" });
  } catch (error) {
    if (isChatError(error) && error.reason === "WRONG_CREDENTIALS") throw new Error("who are you?");
    throw error;
  }
  const [friend] = await chat.searchUsers(username);
  if (!friend) return;
  const conversation = await chat.openDirect(friend.id);
  const timeline = chat.openTimeline(conversation);
  await chat.send(conversation, "Hello!"); // is shown at once, kept over reloads, and sent when it can be
  await new Promise<void>((resolve) => {
    const stop = timeline.subscribe(() => {
      const last = timeline.get().messages.at(-1);
      if (last?.delivery === "read") {
        stop();
        resolve();
      }
    });
  });
  timeline.close();
}

/** In a browser: one chat for the page. The server is the one that the page came from. */
export const inBrowser = () => createChat();
