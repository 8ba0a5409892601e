/** Where a timeline stands: at its end while it is followed, or where the reader has gone; kept when older messages come in above. */

import type { Timeline, TimelineState } from "@natterjack/client";
import { type RefObject, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { VirtualizerHandle } from "virtua";
import { oldestKey, type Row, rowOfSeq, rowsOfState } from "./rows.ts";

/** This near to an end (pixels) the next page is asked for, so that it is there before it is needed. */
const ahead = 1200;

/** The end is reached when no more than this is below (pixels): a finger never hits it exactly. */
const nearEnd = 48;

/** How long a message that was jumped to stays marked, in milliseconds. */
const litTime = 2500;

/** What is to be shown as soon as it is there. */
type Goal = { readonly kind: "opening" | "divider" } | { readonly kind: "seq"; readonly seq: number } | { readonly kind: "end" };

/** The list and the element in which it is scrolled. */
export interface Box {
  readonly list: RefObject<VirtualizerHandle | null>;
  readonly scroller: RefObject<HTMLDivElement | null>;
  /** What is in view is not what was asked for, which is still being loaded. */
  readonly seeking: RefObject<boolean>;
}

const opening: Goal = { kind: "opening" };

/** The first new message, where more are new than the first page has. */
const divider: Goal = { kind: "divider" };

export interface Scroll {
  /** To be given to the list with these rows: rows were added at its start. */
  readonly shift: boolean;
  /** The newest message is in view, and stays so. */
  readonly atEnd: boolean;
  /** The newest message there is has been loaded. */
  readonly current: boolean;
  /** The message that was jumped to a moment ago. */
  readonly litSeq: number | undefined;
  readonly jumpTo: (seq: number) => void;
  readonly jumpToEnd: () => void;
  readonly onScroll: (offset: number) => void;
  readonly onResize: () => void;
  /** The reader does something with the timeline by hand. */
  readonly onTouched: () => void;
}

interface ScrollOptions extends Box {
  readonly timeline: Timeline;
  readonly state: TimelineState;
  readonly rows: readonly Row[];
  /** The message to begin at, where it isn't the first new one. */
  readonly startAt?: number | undefined;
  /** The `seq` of the newest message there is, also where it isn't loaded yet. */
  readonly newestSeq: number;
  /** Called after the reader may have come to see something else. */
  readonly moved: () => void;
}

export function useScroll({ list, scroller, seeking, timeline, state, rows, startAt, newestSeq, moved }: ScrollOptions): Scroll {
  const latest = useRef({ state, rows, newestSeq, moved });
  const goal = useRef<Goal | undefined>(startAt === undefined ? opening : { kind: "seq", seq: startAt });
  const aim = useCallback(
    (wanted: Goal | undefined) => {
      goal.current = wanted;
      seeking.current = wanted !== undefined && wanted !== opening;
    },
    [seeking],
  );
  const following = useRef(startAt === undefined);
  const offset = useRef(0);
  const [atEnd, setAtEnd] = useState(true);
  const [litSeq, setLit] = useLit();
  const shift = useAddedAtStart(rows);

  const loadMore = useCallback(() => {
    const { current: box } = list;
    const { state } = latest.current;
    // After a failure it is asked for by hand, or this would never end.
    if (box === null || (goal.current ?? opening) !== opening || state.loading !== "none" || state.error !== undefined) return;
    if (state.hasOlder && box.scrollOffset < ahead) void timeline.loadOlder();
    else if (state.hasNewer && box.scrollSize - box.scrollOffset - box.viewportSize < ahead) void timeline.loadNewer();
  }, [list, timeline]);

  const toEnd = useCallback(() => list.current?.scrollToIndex(latest.current.rows.length - 1, { align: "end" }), [list]);

  const pursue = useCallback(() => {
    const { rows, state, newestSeq } = latest.current;
    const { current: box } = list;
    if (box === null || rows.length === 0) return;
    const { current: wanted } = goal;
    const index = wanted === undefined ? -1 : indexOf(wanted, rows, state);
    if (wanted !== undefined && index >= 0) {
      // What this device kept is shown first, and where the new messages begin comes after it.
      if (wanted !== opening || rows[index]?.kind === "new" || isCurrent(state, newestSeq)) aim(undefined);
      if (wanted === opening && goal.current === undefined && isDividerAbove(state, rows[index])) {
        aim(divider);
        return;
      }
      const end = index === rows.length - 1;
      following.current = end && !state.hasNewer;
      box.scrollToIndex(index, { align: end ? "end" : wanted.kind === "seq" ? "center" : "start" });
      if (wanted.kind === "seq") setLit(wanted.seq);
    } else if (wanted === undefined && following.current && !state.hasNewer) toEnd();
  }, [list, aim, toEnd, setLit]);

  const seek = useCallback(
    async (wanted: Goal, load: () => Promise<void>) => {
      aim(wanted);
      if (indexOf(wanted, latest.current.rows, latest.current.state) >= 0) return pursue();
      following.current = false;
      await load();
      // By the state itself: it may be drawn later.
      const state = timeline.get();
      if (goal.current !== wanted || indexOf(wanted, rowsOfState(state), state) >= 0) return;
      // It was never in this conversation, or the load failed, which the state tells.
      aim(undefined);
      if (wanted === divider) toEnd();
    },
    [timeline, aim, pursue, toEnd],
  );

  useLayoutEffect(() => {
    latest.current = { state, rows, newestSeq, moved };
    const before = goal.current;
    pursue();
    if (before === opening && goal.current === divider) void seek(divider, () => timeline.jumpTo(state.openedReadSeq));
  }, [state, rows, newestSeq, moved, pursue, seek, timeline]);

  useEffect(() => {
    if (state.loading === "none") loadMore();
  }, [state, loadMore]);

  return {
    shift,
    atEnd: atEnd && !state.hasNewer,
    current: isCurrent(state, newestSeq),
    litSeq,
    jumpTo: useCallback((seq) => void seek({ kind: "seq", seq }, () => timeline.jumpTo(seq)), [seek, timeline]),
    jumpToEnd: useCallback(() => void seek({ kind: "end" }, () => timeline.jumpToNewest()), [seek, timeline]),
    onScroll: useCallback(
      (now) => {
        const { current: box } = scroller;
        if (box === null) return;
        // By the document's own measures: after a change of size the list learns of its own too late, and would take that for going up.
        const end = box.scrollHeight - box.scrollTop - box.clientHeight <= nearEnd;
        // Only going up ends following: what grows below moves the end away too. The end of what is loaded is none while newer messages are to come.
        const { state, newestSeq } = latest.current;
        if (end && isCurrent(state, newestSeq)) following.current = true;
        else if (now < offset.current) following.current = false;
        offset.current = now;
        setAtEnd(end || following.current);
        loadMore();
        latest.current.moved();
      },
      [scroller, loadMore],
    ),
    onTouched: useCallback(() => {
      if (goal.current === opening) aim(undefined);
    }, [aim]),
    onResize: useCallback(() => {
      if (following.current && (goal.current ?? opening) === opening && !latest.current.state.hasNewer) toEnd();
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
    case "divider":
      return rows.findIndex((row) => row.kind === "new");
    case "opening": {
      const at = rows.findIndex((row) => row.kind === "new");
      return at >= 0 ? at : rows.length - 1;
    }
  }
}

/** Whether the newest message there is has been loaded. */
function isCurrent(state: TimelineState, newestSeq: number): boolean {
  const loaded = state.messages.findLast((message) => message.seq > 0)?.seq ?? 0;
  return !state.hasNewer && state.loading !== "first" && loaded >= newestSeq;
}

/** Whether all that is loaded is new, and more above it may be. */
function isDividerAbove({ messages, hasOlder, openedReadSeq }: TimelineState, found: Row | undefined): boolean {
  const [oldest] = messages;
  return found?.kind !== "new" && hasOlder && openedReadSeq > 0 && oldest !== undefined && oldest.seq > openedReadSeq;
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
