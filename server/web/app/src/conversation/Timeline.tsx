import type { Conversation, Message, Timeline as TimelineOf, TimelineState } from "@natterjack/client";
import { type ReactElement, type Ref, useImperativeHandle, useLayoutEffect, useRef } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { explain, useObservable } from "../chat.ts";
import { mayWrite } from "../group/roles.ts";
import { useNow } from "../now.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { Icon } from "../ui/Icon.tsx";
import { Spinner } from "../ui/Spinner.tsx";
import type { RowActions } from "./actions.ts";
import { Beginning } from "./Beginning.tsx";
import { MessageRow } from "./MessageRow.tsx";
import { NewMessages } from "./NewMessages.tsx";
import type { Row } from "./rows.ts";
import styles from "./timeline.module.css";
import { useDivider } from "./useDivider.ts";
import { useOneEnd } from "./useOneEnd.ts";
import { useReadMark } from "./useReadMark.ts";
import { useRowFocus, useRows } from "./useRows.ts";
import { useScroll } from "./useScroll.ts";
import { dayName } from "./words.ts";

/** What others in the pane ask of the timeline. */
export interface TimelineHandle {
  jumpTo(seq: number): void;
  jumpToEnd(): void;
  /** One's newest message that can be edited, of those that are loaded. */
  lastOwn(): Message | undefined;
}

interface TimelineProps {
  conversation: Conversation;
  timeline: TimelineOf;
  actions: RowActions;
  /** The place to begin at, where it isn't the first new message. */
  startAt?: number | undefined;
  ref: Ref<TimelineHandle>;
}

/** The messages of a conversation. Only those in view are in the document, however many there are. */
export function Timeline({ conversation, timeline, actions, startAt, ref }: TimelineProps) {
  const [state, look] = useDivider(useOneEnd(useObservable(timeline)));
  const rows = useRows(state);
  const list = useRef<VirtualizerHandle>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const seeking = useRef(startAt !== undefined);
  const moved = useReadMark(conversation.id, rows, { list, scroller, seeking });
  const scroll = useScroll({
    list,
    scroller,
    seeking,
    timeline,
    state,
    rows,
    startAt,
    newestSeq: conversation.lastMessage?.seq ?? 0,
    moved,
  });
  const { atEnd, current } = scroll;
  useLayoutEffect(() => look({ atEnd, current, divided: rows.some((row) => row.kind === "new") }));
  const focus = useRowFocus(rows, { list, scroller });
  const { jumpTo, jumpToEnd } = scroll;
  useImperativeHandle(ref, () => ({ jumpTo, jumpToEnd, lastOwn: () => lastOwn(timeline.get().messages) }), [
    jumpTo,
    jumpToEnd,
    timeline,
  ]);

  const draw = (row: Row): ReactElement => {
    if (row.kind !== "message")
      return <Between key={row.key} row={row} conversation={conversation} timeline={timeline} state={state} />;
    const { message, first, last } = row;
    const group = conversation.kind === "group";
    const writes = mayWrite(conversation);
    const lit = message.seq !== 0 && message.seq === scroll.litSeq;
    return (
      <MessageRow
        key={row.key}
        {...{ message, first, last, group, writes, lit, timeline }}
        actions={actions}
        current={row.key === focus.current}
      />
    );
  };

  if (state.messages.length === 0 && state.loading !== "none") return <Waiting />;
  return (
    <div className={styles.frame}>
      {/* Rows come and go while one scrolls, so that the log itself must not be read out; NewMessages says what is new. */}
      <div
        ref={scroller}
        role="log"
        aria-live="off"
        aria-label="Messages"
        aria-busy={state.loading !== "none"}
        className={styles.scroller}
        onWheel={scroll.onTouched}
        onPointerDown={scroll.onTouched}
        onKeyDownCapture={scroll.onTouched}
        onKeyDown={focus.onKeyDown}
        onFocus={focus.onFocus}
      >
        <div className={styles.spacer} />
        <div className={styles.rows}>
          <Virtualizer
            ref={list}
            scrollRef={scroller}
            data={rows}
            shift={scroll.shift}
            bufferSize={600}
            keepMounted={focus.keepMounted}
            onScroll={scroll.onScroll}
            onResize={scroll.onResize}
          >
            {draw}
          </Virtualizer>
        </div>
      </div>
      {!scroll.atEnd && <ToNewest count={conversation.unread} onPress={jumpToEnd} />}
      <NewMessages state={state} />
    </div>
  );
}

function lastOwn(messages: readonly Message[]): Message | undefined {
  return messages.findLast((message) => message.mine && message.seq > 0 && !message.deleted);
}

interface BetweenProps {
  row: Exclude<Row, { kind: "message" }>;
  conversation: Conversation;
  timeline: TimelineOf;
  state: TimelineState;
}

/** A row that is no message. */
function Between({ row, conversation, timeline, state }: BetweenProps) {
  switch (row.kind) {
    case "day":
      return <Day time={row.time} />;
    case "new":
      return (
        <div className={styles.new}>
          <span>New messages</span>
        </div>
      );
    case "beginning":
      return <Beginning conversation={conversation} />;
    case "end":
      return <div className={styles.end} />;
    case "older":
      return <More state={state} load={() => void timeline.loadOlder()} />;
    case "newer":
      return <More state={state} load={() => void timeline.loadNewer()} />;
  }
}

/** The day of what follows. Today is Yesterday after midnight, whether something is written then or not. */
function Day({ time }: { time: number }) {
  return (
    <div className={styles.day}>
      <span>{dayName(time, useNow())}</span>
    </div>
  );
}

/** Stands where more is being loaded, or could not be. */
function More({ state, load }: { state: TimelineState; load: () => void }) {
  return (
    <div className={styles.more}>
      {state.error !== undefined ? (
        <>
          <span>{explain(state.error)}</span>
          <Button look="plain" icon="retry" onClick={load}>
            Try again
          </Button>
        </>
      ) : isAway(state) ? (
        <span>What was written here is not on this device. It comes with the network.</span>
      ) : (
        <Spinner label="Loading messages" />
      )}
    </div>
  );
}

/** Whether nothing is loaded, and nothing can be. */
function isAway({ messages, hasOlder, loading }: TimelineState): boolean {
  return hasOlder && loading === "none" && messages.every((message) => message.seq === 0);
}

function Waiting() {
  return (
    <div className={styles.waiting}>
      <Spinner label="Loading messages" />
    </div>
  );
}

function ToNewest({ count, onPress }: { count: number; onPress: () => void }) {
  return (
    <button
      type="button"
      className={styles.toNewest}
      aria-label={count > 0 ? `Jump to the newest message, ${count} unread` : "Jump to the newest message"}
      onClick={onPress}
    >
      <span aria-hidden="true">
        <Badge count={count} />
      </span>
      <Icon name="down" />
    </button>
  );
}
