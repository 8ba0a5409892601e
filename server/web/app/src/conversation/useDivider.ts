import type { TimelineState } from "@natterjack/client";
import { useCallback, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { useChat, useObservable } from "../chat.ts";

/** What the reader had seen when the rows were drawn last. */
export interface Seen {
  /** The newest message is in view. */
  readonly atEnd: boolean;
  /** It has been loaded, as far as this device knows. */
  readonly current: boolean;
  /** "New messages" stands somewhere. */
  readonly divided: boolean;
}

/**
 * The state with "New messages" before what was unread when the reader came, or came back: to the tab, to the end, or to the network. What comes while one
 * reads at the end is not new to anybody. The function is to be called with each drawing.
 */
export function useDivider(state: TimelineState): [TimelineState, (seen: Seen) => void] {
  const live = useObservable(useChat().connection).status === "live";
  const visible = useSyncExternalStore(watchVisibility, isVisible);
  const following = useRef(false);
  const seen = useRef<Seen>(undefined);
  const [from, setFrom] = useState(state.openedReadSeq);
  const newest = state.messages.findLast((message) => message.seq > 0)?.seq ?? 0;
  // Before it is drawn: the divider must not be seen even for a frame.
  if (following.current && newest > from) setFrom(newest);
  const latest = useRef(newest);
  useLayoutEffect(() => {
    latest.current = newest;
  });
  useLayoutEffect(() => {
    // What was seen is not new when one comes back.
    if (!visible && seen.current?.atEnd && seen.current.current) setFrom((before) => Math.max(before, latest.current));
  }, [visible]);
  const look = useCallback(
    (now: Seen) => {
      seen.current = now;
      following.current = visible && live && now.atEnd && !now.divided && (now.current || following.current);
    },
    [visible, live],
  );
  const shown = useMemo(() => (from > state.openedReadSeq ? { ...state, openedReadSeq: from } : state), [state, from]);
  return [shown, look];
}

function watchVisibility(changed: () => void): () => void {
  document.addEventListener("visibilitychange", changed);
  return () => document.removeEventListener("visibilitychange", changed);
}

function isVisible(): boolean {
  return document.visibilityState === "visible";
}
