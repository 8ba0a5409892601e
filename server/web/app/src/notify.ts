/** Notifications of messages that arrive while no tab is looked at. Asked for in the settings, per device; shown by the service worker. */

import type { Chat, Conversation, Message } from "@natterjack/client";
import { navigate } from "wouter/use-browser-location";
import { preview } from "./conversation/text/preview.ts";
import { paths } from "./paths.ts";

const key = "natterjack.notifications";

/** `impossible`: the browser has none, or not on this address; `blocked`: the user has told the browser to refuse them. */
export type Notifying = "on" | "off" | "blocked" | "impossible";

export function notifying(): Notifying {
  if (!("Notification" in window) || !("serviceWorker" in navigator)) {
    return "impossible";
  }
  if (Notification.permission === "denied") {
    return "blocked";
  }
  return Notification.permission === "granted" && wanted() ? "on" : "off";
}

function wanted(): boolean {
  try {
    return localStorage.getItem(key) === "on";
  } catch {
    return false;
  }
}

/** Turns them on, for which the browser may ask the user, or off. Answers what holds then. */
export async function setNotifying(on: boolean): Promise<Notifying> {
  if (on) {
    await Notification.requestPermission();
  }
  try {
    localStorage.setItem(key, on ? "on" : "off");
  } catch {
    // Storage is forbidden: then they stay off.
  }
  return notifying();
}

/** What a tab tells the service worker, which knows whether another tab is looked at. */
export interface Notice {
  readonly kind: "notice";
  readonly title: string;
  readonly body: string;
  /** Notices of one conversation replace each other. */
  readonly tag: string;
  /** The address to open. */
  readonly path: string;
}

/** What is shown for a message. */
export function noticeOf(message: Message, conversation: Conversation, sender: string | undefined): Notice {
  const text = preview(message);
  const body = conversation.kind === "group" && sender !== undefined ? `${sender}: ${text}` : text;
  return { kind: "notice", title: conversation.title, body, tag: conversation.id, path: paths.conversation(conversation.id) };
}

/** Shows notices from now on, where they are wanted, and opens the conversation of one that is clicked. */
export function startNotifying(chat: Chat): void {
  navigator.serviceWorker?.addEventListener("message", ({ data }) => {
    if (data?.kind === "open") {
      navigate(data.path);
    }
  });
  // What was said is not to be read by whoever signs in next.
  chat.account.subscribe(async () => {
    if (chat.account.get().status === "signed-out") {
      const registration = await navigator.serviceWorker?.getRegistration();
      for (const notice of (await registration?.getNotifications()) ?? []) {
        notice.close();
      }
    }
  });
  chat.onMessage(async (message, conversation) => {
    if (notifying() !== "on" || document.visibilityState === "visible") {
      return;
    }
    const sender = chat.user(message.senderId).get()?.displayName;
    const { active } = await navigator.serviceWorker.ready;
    active?.postMessage(noticeOf(message, conversation, sender));
  });
}
