import type { Conversation } from "@natterjack/client";
import { useCallback, useEffect, useRef, useState } from "react";
import { useChat } from "../chat.ts";

/** How long writing pauses before the draft is kept, in milliseconds. */
const pause = 400;

/** The text that is being written in a conversation. It is kept when writing pauses, when the conversation is left and when the page is. */
export function useDraft(conversation: Conversation): [string, (text: string) => void] {
  const chat = useChat();
  const { id } = conversation;
  const [text, setText] = useState(conversation.draft);
  const unsaved = useRef<string>(undefined);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);

  const save = useCallback(() => {
    clearTimeout(timer.current);
    if (unsaved.current !== undefined) chat.setDraft(id, unsaved.current);
    unsaved.current = undefined;
  }, [chat, id]);

  useEffect(() => {
    addEventListener("pagehide", save);
    document.addEventListener("visibilitychange", save);
    return () => {
      removeEventListener("pagehide", save);
      document.removeEventListener("visibilitychange", save);
      save();
    };
  }, [save]);

  const write = useCallback(
    (next: string) => {
      setText(next);
      unsaved.current = next;
      clearTimeout(timer.current);
      // What was sent must not come back as a draft, however soon the page goes.
      if (next === "") save();
      else timer.current = setTimeout(save, pause);
    },
    [save],
  );
  return [text, write];
}
