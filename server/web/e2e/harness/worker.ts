/** A chat in a dedicated worker, without a page: does what the page says by method and arguments, and tells it what comes. Bundled by `bundled`. */
import { createChat } from "../../client/src/index.js";

const chat = createChat();
chat.account.subscribe(() => postMessage({ account: chat.account.get().status }));
chat.connection.subscribe(() => postMessage({ connection: chat.connection.get() }));
chat.onMessage((message) => postMessage({ arrived: message.content }));

addEventListener("message", async ({ data: [method, ...args] }: MessageEvent<["signIn" | "send", ...never[]]>) => {
  try {
    await (chat[method] as (...args: never[]) => Promise<void>)(...args);
    postMessage({ done: method });
  } catch (error) {
    postMessage({ failed: String(error) });
  }
});
