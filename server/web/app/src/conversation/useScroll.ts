/** Where a timeline stands: at its end while it is followed, or where the reader has gone; kept when older messages come in above. */

import type { Timeline, TimelineState } from "@natterjack/client";
import { type RefObject, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { VirtualizerHandle } from "virtua";
import { oldestKey, type Row, rowOfSeq } from "./rows.ts";

/** This near to an end (pixels) the next page is asked for, so that it is there before it is needed. */
const ahead = 1200;

/** The end is reached when no more than this is below (pixels): a finger never hits it exactly. */
const nearEnd = 48;

/** How long a message that was jumped to stays marked, in milliseconds. */
const litTime = 2500;

/** What is to be shown as soon as it is there. */
type Goal = { readonly kind: "opening" } | { readonly kind: "seq"; readonly seq: number } | { readonly kind: "end" };

/** The list and the element in which it is scrolled. */
export interface Box {
  readonly list: RefObject<VirtualizerHandle | null>;
  readonly scroller: RefObject<HTMLDivElement | null>;
}

export interface Scroll {
  /** To be given to the list with these rows: rows were added at its start. */
  readonly shift: boolean;
  /** The newest message is in view, and stays so. */
  readonly atEnd: boolean;
  /** The message that was jumped to a moment ago. */
  readonly litSeq: number | undefined;
  readonly jumpTo: (seq: number) => void;
  readonly jumpToEnd: () => void;
  readonly onScroll: (offset: number) => void;
  readonly onResize: () => void;
}

interface ScrollOptions extends Box {
  readonly timeline: Timeline;
  readonly state: TimelineState;
  readonly rows: readonly Row[];
  /** The message to begin at, where it isn't the first new one. */
  readonly startAt?: number | undefined;
  /** Called after the reader may have come to see something else. */
  readonly moved: () => void;
}

export function useScroll({ list, scroller, timeline, state, rows, startAt, moved }: ScrollOptions): Scroll {
  const latest = useRef({ state, rows, moved });
  const goal = useRef<Goal | undefined>(startAt === undefined ? { kind: "opening" } : { kind: "seq", seq: startAt });
  const following = useRef(startAt === undefined);
  const offset = useRef(0);
  const [atEnd, setAtEnd] = useState(true);
  const [litSeq, setLit] = useLit();
  const shift = useAddedAtStart(rows);

  const loadMore = useCallback(() => {
    const { current: box } = list;
    const { state } = latest.current;
    // After a failure it is asked for by hand, or this would never end.
    if (box === null || goal.current !== undefined || state.loading !== "none" || state.error !== undefined) return;
    if (state.hasOlder && box.scrollOffset < ahead) void timeline.loadOlder();
    else if (state.hasNewer && box.scrollSize - box.scrollOffset - box.viewportSize < ahead) void timeline.loadNewer();
  }, [list, timeline]);

  const toEnd = useCallback(() => list.current?.scrollToIndex(latest.current.rows.length - 1, { align: "end" }), [list]);

  const pursue = useCallback(() => {
    const { rows, state } = latest.current;
    const { current: box } = list;
    if (box === null || rows.length === 0) return;
    const { current: wanted } = goal;
    const index = wanted === undefined ? -1 : indexOf(wanted, rows, state);
    if (wanted !== undefined && index >= 0) {
      goal.current = undefined;
      const end = index === rows.length - 1;
      following.current = end && !state.hasNewer;
      box.scrollToIndex(index, { align: end ? "end" : wanted.kind === "seq" ? "center" : "start" });
      if (wanted.kind === "seq") setLit(wanted.seq);
    } else if (wanted === undefined && following.current && !state.hasNewer) toEnd();
  }, [list, toEnd, setLit]);

  useLayoutEffect(() => {
    latest.current = { state, rows, moved };
    pursue();
  }, [state, rows, moved, pursue]);

  useEffect(() => {
    if (state.loading === "none") loadMore();
  }, [state, loadMore]);

  const seek = useCallback(
    (wanted: Goal, load: () => Promise<void>) => {
      goal.current = wanted;
      if (indexOf(wanted, latest.current.rows, latest.current.state) >= 0) return pursue();
      following.current = false;
      void load().then(() => {
        // What isn't there now won't come: the message was never in this conversation, or the load failed, which the state tells.
        requestAnimationFrame(() => {
          pursue();
          if (goal.current === wanted) goal.current = undefined;
        });
      });
    },
    [pursue],
  );

  return {
    shift,
    atEnd: atEnd && !state.hasNewer,
    litSeq,
    jumpTo: useCallback((seq) => seek({ kind: "seq", seq }, () => timeline.jumpTo(seq)), [seek, timeline]),
    jumpToEnd: useCallback(() => seek({ kind: "end" }, () => timeline.jumpToNewest()), [seek, timeline]),
    onScroll: useCallback(
      (now) => {
        const { current: box } = scroller;
        if (box === null) return;
        // By the document's own measures: after a change of size the list learns of its own too late, and would take that for going up.
        const end = box.scrollHeight - box.scrollTop - box.clientHeight <= nearEnd;
        // Only going up ends following: what grows below moves the end away too.
        if (end) following.current = true;
        else if (now < offset.current) following.current = false;
        offset.current = now;
        setAtEnd(end || following.current);
        loadMore();
        latest.current.moved();
      },
      [scroller, loadMore],
    ),
    onResize: useCallback(() => {
      if (following.current && goal.current === undefined && !latest.current.state.hasNewer) toEnd();
      latest.current.moved();
    }, [toEnd]),
  };
}

/** The row of a goal, or -1 while it isn't loaded. */
function indexOf(goal: Goal, rows: readonly Row[], state: TimelineState): number {
  switch (goal.kind) {
    case "seq":
      return rowOfSeq(rows, goal.seq);
    case "end":
      return state.hasNewer ? -1 : rows.length - 1;
    case "opening": {
      const divider = rows.findIndex((row) => row.kind === "new");
      return divider >= 0 ? divider : rows.length - 1;
    }
  }
}

/** Whether these rows begin with others than those before, and have those in them. */
function useAddedAtStart(rows: readonly Row[]): boolean {
  const before = useRef<string>(undefined);
  const oldest = useMemo(() => oldestKey(rows), [rows]);
  const { current: was } = before;
  const added = was !== undefined && oldest !== was && rows.some((row) => row.key === was);
  useLayoutEffect(() => {
    before.current = oldest;
  }, [oldest]);
  return added;
}

function useLit(): [number | undefined, (seq: number) => void] {
  const [lit, setLit] = useState<number>();
  useEffect(() => {
    if (lit === undefined) return;
    const timer = setTimeout(setLit, litTime, undefined);
    return () => clearTimeout(timer);
  }, [lit]);
  return [lit, setLit];
}
