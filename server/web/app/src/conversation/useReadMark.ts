import { useCallback, useEffect, useRef } from "react";
import type { VirtualizerHandle } from "virtua";
import { useLocation } from "wouter";
import { useChat } from "../chat.ts";
import type { Row } from "./rows.ts";
import type { Box } from "./useScroll.ts";

/**
 * Marks as read what the user can have seen: messages that are wholly in view, or whose end is, in a pane that is shown in a tab that is shown. The function
 * that it returns looks again, at most once per frame.
 */
export function useReadMark(conversationId: string, rows: readonly Row[], { list, scroller, seeking }: Box): () => void {
  const chat = useChat();
  const [path] = useLocation();
  const latest = useRef(rows);
  const marked = useRef(0);
  const frame = useRef(0);
  const look = useCallback(() => {
    frame.current = 0;
    if (list.current === null || seeking.current || !isShown(scroller.current)) return;
    const seq = lastSeen(latest.current, list.current);
    const known = chat.conversation(conversationId).get()?.readSeq ?? 0;
    if (seq <= marked.current || seq <= known) return;
    marked.current = seq;
    chat.markRead(conversationId, seq);
  }, [chat, conversationId, list, scroller, seeking]);
  const soon = useCallback(() => {
    if (frame.current === 0) frame.current = requestAnimationFrame(look);
  }, [look]);
  useEffect(() => {
    latest.current = rows;
    soon();
  }, [rows, soon]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: with the address, the pane that is shown changes on a phone
  useEffect(soon, [path, soon]);
  useEffect(() => {
    document.addEventListener("visibilitychange", soon);
    return () => {
      document.removeEventListener("visibilitychange", soon);
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [soon]);
  return soon;
}

function isShown(element: HTMLElement | null): boolean {
  return element !== null && document.visibilityState === "visible" && element.checkVisibility({ visibilityProperty: true });
}

/** The `seq` of the last message whose end is in view, or 0. */
function lastSeen(rows: readonly Row[], box: VirtualizerHandle): number {
  if (box.viewportSize === 0) return 0;
  const bottom = box.scrollOffset + box.viewportSize;
  for (let at = Math.min(box.findItemIndex(bottom), rows.length - 1); at >= 0; at--) {
    const row = rows[at];
    // A pixel less: offsets are rounded.
    const end = box.getItemOffset(at) + box.getItemSize(at) - 1;
    if (end <= box.scrollOffset) return 0;
    if (row?.kind === "message" && row.message.seq > 0 && end <= bottom) return row.message.seq;
  }
  return 0;
}
