import type { Message, Observable, Timeline } from "@natterjack/client";
import { useMemo } from "react";
import { useObservable, useUser } from "../chat.ts";
import styles from "./message.module.css";
import { preview } from "./text/preview.ts";

interface QuoteProps {
  timeline: Timeline;
  seq: number;
  tabIndex: 0 | -1;
  onJump: (seq: number) => void;
}

/** The message that another one answers: who and what, and the way to it. */
export function Quote({ timeline, seq, tabIndex, onJump }: QuoteProps) {
  const original = useObservable(useMemo<Observable<Message | undefined>>(() => timeline.message(seq), [timeline, seq]));
  return (
    <button type="button" className={styles.quote} tabIndex={tabIndex} onClick={() => onJump(seq)}>
      {original === undefined ? (
        <span className={styles.quoted}>An earlier message</span>
      ) : (
        <>
          <Sender message={original} />
          <span className={styles.quoted} dir="auto">
            {preview(original)}
          </span>
        </>
      )}
    </button>
  );
}

/** The name of a message's sender; "You" for oneself. */
export function Sender({ message, className = styles.quotedSender }: { message: Message; className?: string | undefined }) {
  const user = useUser(message.senderId);
  return (
    <span className={className} dir="auto">
      {message.mine ? "You" : (user?.displayName ?? "…")}
    </span>
  );
}
