import type { TimelineState } from "@natterjack/client";
import { type KeyboardEvent, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { nextMessageRow, type Row, rowsOfState } from "./rows.ts";
import type { Box } from "./useScroll.ts";

/** The rows of what is loaded. */
export function useRows({ messages, openedReadSeq, hasOlder, hasNewer }: TimelineState): readonly Row[] {
  return useMemo(
    () => rowsOfState({ messages, openedReadSeq, hasOlder, hasNewer }),
    [messages, openedReadSeq, hasOlder, hasNewer],
  );
}

/** The rows as a list in which one is reached by Tab and the others by arrow keys. Without a choice it is the newest message. */
export function useRowFocus(rows: readonly Row[], { list, scroller }: Pick<Box, "list" | "scroller">) {
  const [chosen, choose] = useState<string>();
  const latest = useRef(rows);
  useEffect(() => {
    latest.current = rows;
  });
  const chosenAt = useMemo(() => (chosen === undefined ? -1 : rows.findIndex((row) => row.key === chosen)), [rows, chosen]);
  const at = chosenAt >= 0 ? chosenAt : nextMessageRow(rows, rows.length, -1);

  const focusRow = useCallback(
    (index: number) => {
      const key = latest.current[index]?.key;
      if (key === undefined) return;
      choose(key);
      list.current?.scrollToIndex(index, { align: "nearest" });
      focusWhenThere(scroller.current, key);
    },
    [list, scroller],
  );

  const onKeyDown = useCallback(
    (event: KeyboardEvent<HTMLElement>) => {
      const key = event.target instanceof HTMLElement ? event.target.dataset.row : undefined;
      if (key === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      const rows = latest.current;
      const next = neighbour(
        event.key,
        rows,
        rows.findIndex((row) => row.key === key),
      );
      if (next === undefined) return;
      event.preventDefault();
      if (next >= 0) focusRow(next);
    },
    [focusRow],
  );

  const onFocus = useCallback((event: React.FocusEvent<HTMLElement>) => {
    const key = event.target.closest<HTMLElement>("[data-row]")?.dataset.row;
    if (key !== undefined) choose(key);
  }, []);

  return {
    current: at < 0 ? undefined : rows[at]?.key,
    keepMounted: useMemo(() => (at < 0 ? [] : [at]), [at]),
    onKeyDown,
    onFocus,
  };
}

/** Where a key leads, -1 for nowhere; undefined where it isn't one of these keys. */
function neighbour(key: string, rows: readonly Row[], at: number): number | undefined {
  switch (key) {
    case "ArrowUp":
      return nextMessageRow(rows, at, -1);
    case "ArrowDown":
      return nextMessageRow(rows, at, 1);
    case "Home":
      return nextMessageRow(rows, -1, 1);
    case "End":
      return nextMessageRow(rows, rows.length, -1);
    default:
      return undefined;
  }
}

/** The row is drawn some frames later where it was out of view. */
function focusWhenThere(scroller: HTMLElement | null, key: string, tries = 20): void {
  const row = scroller?.querySelector<HTMLElement>(`[data-row="${CSS.escape(key)}"]`);
  if (row !== null && row !== undefined) row.focus({ preventScroll: true });
  else if (tries > 0) requestAnimationFrame(() => focusWhenThere(scroller, key, tries - 1));
}
