import type { TimelineState } from "@natterjack/client";
import { useLayoutEffect, useReducer, useRef } from "react";

/**
 * The state of a timeline, of which what was added at both ends at once is shown in two steps, both before the next frame: a list can keep its place while
 * it grows above or below, but not when it cannot tell how much of it was above.
 */
export function useOneEnd(target: TimelineState): TimelineState {
  const shown = useRef(target);
  const [, again] = useReducer((count: number) => count + 1, 0);
  const next = oneEnd(shown.current, target);
  useLayoutEffect(() => {
    shown.current = next;
    if (next !== target) again();
  });
  return next;
}

/** The target, or what of it is above the end of what was there before, where the target has more both above and below that. */
export function oneEnd(before: TimelineState, target: TimelineState): TimelineState {
  const [oldest, newest] = [before.messages[0]?.key, before.messages.at(-1)?.key];
  if (oldest === undefined || target.messages[0]?.key === oldest) return target;
  const start = target.messages.findIndex((message) => message.key === oldest);
  const end = target.messages.findLastIndex((message) => message.key === newest);
  if (start < 0 || end < 0 || end === target.messages.length - 1) return target;
  return { ...target, messages: target.messages.slice(0, end + 1), hasNewer: true, loading: "newer" };
}
