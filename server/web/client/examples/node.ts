import { createChat } from "@natterjack/client";
import { nodeNetwork } from "@natterjack/client/node"; // needs @connectrpc/connect-node

/** A bot: answers whatever it is told. In Node everything goes over one HTTP/2 connection. */
export async function echo(serverUrl: string): Promise<() => void> {
  const chat = createChat({ inMemory: true, deviceName: "echo" }, { network: nodeNetwork(serverUrl) });
  await chat.signIn({ username: "echo", password: "correct horse" });
  chat.onMessage((message, conversation) => {
    chat.markRead(conversation.id, message.seq);
    void chat.send(conversation.id, message.content, { replyTo: message.seq });
  });
  return () => chat.close();
}
