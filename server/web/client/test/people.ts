import { onTestFinished } from "vitest";
import type { Chat, ChatOptions, Conversation, Observable, Timeline } from "../src/api.js";
import { createChat, type Parts } from "../src/chat.js";
import { nodeNetwork } from "../src/node.js";
import type { Server } from "./server.js";
import { until } from "./until.js";

/** A chat over HTTP/2 that ends with the test. */
export function open(server: Server, options: ChatOptions = { inMemory: true }, parts: Parts = {}): Chat {
  const chat = createChat(options, { network: nodeNetwork(server.url), ...parts });
  onTestFinished(() => chat.close());
  return chat;
}

/** A chat of a new user, connected. */
export async function join(server: Server, username: string, options?: ChatOptions, parts?: Parts): Promise<Chat> {
  const chat = open(server, options, parts);
  await chat.signUp({ username, password: "correct horse", displayName: username.toUpperCase() });
  await live(chat);
  return chat;
}

export async function live(chat: Chat): Promise<void> {
  await until(chat.connection, (c) => c.status === "live");
}

export function idOf(chat: Chat): string {
  const state = chat.account.get();
  if (state.status !== "signed-in") throw new Error(`the account is ${state.status}`);
  return state.account.user.id;
}

/** The state of a conversation, once it is as it should be. */
export function conversation(chat: Chat, id: string, fits: (c: Conversation) => boolean): Promise<Conversation> {
  return until<Conversation | undefined, Conversation>(
    chat.conversation(id),
    (c): c is Conversation => c !== undefined && fits(c),
  );
}

export function contents(t: Timeline): string[] {
  return t.get().messages.map((m) => m.content);
}

/** Opens a timeline that is closed with the test, once it has been read. */
export async function timeline(chat: Chat, id: string): Promise<Timeline> {
  const t = chat.openTimeline(id);
  onTestFinished(() => t.close());
  await until(t, (s) => s.loading === "none");
  return t;
}

export type { Observable };
