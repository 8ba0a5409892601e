import { useEffect } from "react";
import { useChat, useConversation, useObservable } from "./chat.ts";

const name = "Natterjack";

/** What the tab is called: how much is unread, and what is open. */
export function titleOf(unread: number, open: string | undefined): string {
  const what = open === undefined ? name : `${open} · ${name}`;
  return unread > 0 ? `(${unread}) ${what}` : what;
}

/** Keeps the tab's name, and the number on the icon of the installed program. */
export function Title({ open }: { open: string | undefined }) {
  const conversations = useObservable(useChat().conversations);
  const unread = conversations.reduce((sum, c) => sum + c.unread, 0);
  const title = useConversation(open ?? "")?.title;
  useEffect(() => {
    document.title = titleOf(unread, title);
  }, [unread, title]);
  useEffect(() => {
    if ("setAppBadge" in navigator) {
      navigator.setAppBadge(unread).catch(() => {}); // refused where it is not installed
    }
  }, [unread]);
  // Whoever signs in next is not to see with whom the one before has talked.
  useEffect(
    () => () => {
      document.title = name;
      if ("clearAppBadge" in navigator) {
        navigator.clearAppBadge().catch(() => {});
      }
    },
    [],
  );
  return null;
}
