import type { Chat } from "@natterjack/client";
import { lazy, Suspense } from "react";
import { Boundary } from "./Boundary.tsx";
import { ChatContext, useChat, useObservable } from "./chat.ts";
import { Shell } from "./Shell.tsx";
import { Toasts } from "./ui/Toasts.tsx";
import { Tooltip } from "./ui/Tooltip.tsx";

const Auth = lazy(() => import("./auth/Auth.tsx"));

/** The whole program. */
export function App({ chat }: { chat: Chat }) {
  return (
    <ChatContext value={chat}>
      <Boundary>
        <Screen />
      </Boundary>
      <Toasts />
      <Tooltip />
    </ChatContext>
  );
}

/** What is drawn depends on who is signed in before all else. */
function Screen() {
  const account = useObservable(useChat().account);
  switch (account.status) {
    case "loading":
      return null; // for a few milliseconds
    case "signed-out":
      return (
        <Suspense fallback={null}>
          <Auth reason={account.reason} />
        </Suspense>
      );
    case "signed-in":
      return (
        <Boundary key={account.account.user.id}>
          <Shell />
        </Boundary>
      );
  }
}
