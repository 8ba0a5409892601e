import type { Message, TimelineState } from "@natterjack/client";
import { useEffect, useRef, useState } from "react";
import { useChat } from "../chat.ts";
import { preview } from "./text/preview.ts";

/** More than this many at once are counted instead of read out. */
const most = 3;

/** Says to screen readers what others write while the conversation is open. */
export function NewMessages({ state }: { state: TimelineState }) {
  const chat = useChat();
  const said = useRef<number>(undefined);
  const [text, setText] = useState("");
  useEffect(() => {
    const { messages, hasNewer } = state;
    const newest = newestSeq(messages);
    const before = said.current;
    said.current = Math.max(newest, before ?? 0);
    // What was there when it was opened, and what was missed while somewhere else was looked at, is read when it is come to.
    if (before === undefined || newest <= before || hasNewer) return;
    const fresh = messages.filter((message) => message.seq > before && !message.mine && !message.deleted);
    if (fresh.length > most) setText(`${fresh.length} new messages`);
    else if (fresh.length > 0)
      setText(
        fresh.map((message) => `${chat.user(message.senderId).get()?.displayName ?? ""}: ${preview(message, 300)}`).join(". "),
      );
  }, [state, chat]);
  return (
    <div className="hidden-visually" aria-live="polite">
      {text}
    </div>
  );
}

function newestSeq(messages: readonly Message[]): number {
  return messages.findLast((message) => message.seq > 0)?.seq ?? 0;
}
