import type { Chat, Conversation as ConversationOf, Message, Timeline as TimelineOf } from "@natterjack/client";
import { type KeyboardEvent, lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { explain, useChat, useConversation, useObservable } from "../chat.ts";
import { paths } from "../paths.ts";
import { Empty } from "../ui/Empty.tsx";
import { Back, Header } from "../ui/Header.tsx";
import { Spinner } from "../ui/Spinner.tsx";
import { toast } from "../ui/toasts.ts";
import type { Place, RowActions } from "./actions.ts";
import { Composer, type ComposerHandle, type Writing } from "./Composer.tsx";
import styles from "./conversation.module.css";
import { Head } from "./Head.tsx";
import { Timeline, type TimelineHandle } from "./Timeline.tsx";
import { TypingLine } from "./TypingLine.tsx";

const MessageMenu = lazy(() => import("./MessageMenu.tsx"));
const MessageInfo = lazy(() => import("./MessageInfo.tsx"));
const DeleteDialog = lazy(() => import("./DeleteDialog.tsx"));
const EmojiPicker = lazy(() => import("./EmojiPicker.tsx"));
const Find = lazy(() => import("./Find.tsx"));

/** What is open above the conversation, at most one thing at a time. */
type Overlay = { readonly key: number } & What;

type What =
  | { readonly kind: "menu"; readonly message: Message; readonly at: Place }
  | { readonly kind: "info" | "delete"; readonly message: Message }
  | { readonly kind: "emoji"; readonly at: Place; readonly pick: (emoji: string) => void };

/** One conversation's pane: its messages, and the line to write in. With `at` it begins at the message at that place. */
export default function Conversation({ id, at }: { id: string; at?: number }) {
  const chat = useChat();
  const conversation = useConversation(id);
  const loaded = useObservable(chat.conversationsLoaded);
  const timeline = useTimeline(chat, id);
  if (conversation === undefined) return loaded ? <Missing /> : <Waiting />;
  if (timeline === undefined) return <Waiting />;
  return <Pane conversation={conversation} timeline={timeline} startAt={at} />;
}

interface PaneProps {
  conversation: ConversationOf;
  timeline: TimelineOf;
  startAt: number | undefined;
}

function Pane({ conversation, timeline, startAt }: PaneProps) {
  const chat = useChat();
  const { id } = conversation;
  const list = useRef<TimelineHandle>(null);
  const composer = useRef<ComposerHandle>(null);
  const [writing, setWriting] = useState<Writing>({ kind: "new" });
  const [overlay, setOverlay] = useState<Overlay>();
  const open = useCallback((what: What) => setOverlay((before) => ({ key: (before?.key ?? 0) + 1, ...what })), []);
  const [finding, setFinding] = useState(false);
  useStart(timeline, startAt, list, composer);

  const write = useMemo(
    () => (next: Writing) => {
      setWriting(next);
      composer.current?.focus();
    },
    [],
  );
  const actions = useMemo((): RowActions => {
    const react = (message: Message, emoji: string, on: boolean) => attempt(chat.react(id, message.seq, emoji, on));
    return {
      react,
      reply: (message) => write({ kind: "reply", message }),
      openMenu: (message, at) => open({ kind: "menu", message, at }),
      pickReaction: (message, at) => open({ kind: "emoji", at, pick: (emoji) => react(message, emoji, true) }),
      jumpTo: (seq) => list.current?.jumpTo(seq),
      retry: (message) => attempt(chat.retry(id, message.key)),
      discard: (message) => attempt(chat.discard(id, message.key)),
    };
  }, [chat, id, write, open]);

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: what is typed anywhere goes to where text is written
    <div className={styles.pane} onKeyDown={(event) => isTyped(event) && composer.current?.focus()}>
      <Head conversation={conversation} finding={finding} onFind={() => setFinding(!finding)} />
      <Suspense fallback={null}>
        {finding && <Find conversationId={id} onJump={(seq) => list.current?.jumpTo(seq)} onClose={() => setFinding(false)} />}
      </Suspense>
      <Timeline ref={list} conversation={conversation} timeline={timeline} actions={actions} startAt={startAt} />
      <TypingLine conversationId={id} />
      <Composer
        ref={composer}
        conversation={conversation}
        writing={writing}
        onDone={() => setWriting({ kind: "new" })}
        onSent={() => list.current?.jumpToEnd()}
        onEditLast={() => {
          const message = list.current?.lastOwn();
          if (message !== undefined) write({ kind: "edit", message });
        }}
        onPickEmoji={(at) => open({ kind: "emoji", at, pick: (emoji) => composer.current?.insert(emoji) })}
      />
      <Suspense fallback={null}>
        {overlay !== undefined && (
          <Above
            // One that is opened while another is still closing is not that one.
            key={overlay.key}
            overlay={overlay}
            conversation={conversation}
            actions={actions}
            onWrite={write}
            onOpen={open}
            onClose={() => setOverlay((now) => (now === overlay ? undefined : now))}
          />
        )}
      </Suspense>
    </div>
  );
}

interface AboveProps {
  overlay: Overlay;
  conversation: ConversationOf;
  actions: RowActions;
  onWrite: (writing: Writing) => void;
  onOpen: (what: What) => void;
  onClose: () => void;
}

function Above({ overlay, conversation, actions, onWrite, onOpen, onClose }: AboveProps) {
  switch (overlay.kind) {
    case "menu": {
      const { message, at } = overlay;
      return (
        <MessageMenu
          {...{ conversation, message, at, onClose }}
          onReact={(emoji, on) => actions.react(message, emoji, on)}
          onPickReaction={() => actions.pickReaction(message, at)}
          onReply={() => onWrite({ kind: "reply", message })}
          onEdit={() => onWrite({ kind: "edit", message })}
          onDelete={() => onOpen({ kind: "delete", message })}
          onInfo={() => onOpen({ kind: "info", message })}
        />
      );
    }
    case "info":
      return <MessageInfo conversation={conversation} message={overlay.message} onClose={onClose} />;
    case "delete":
      return <DeleteDialog message={overlay.message} onClose={onClose} />;
    case "emoji":
      return <EmojiPicker at={overlay.at} onPick={overlay.pick} onClose={onClose} />;
  }
}

/** The window on the conversation, open while the pane is. */
function useTimeline(chat: Chat, id: string): TimelineOf | undefined {
  const [timeline, setTimeline] = useState<TimelineOf>();
  useEffect(() => {
    const opened = chat.openTimeline(id);
    setTimeline(opened);
    return () => {
      setTimeline(undefined);
      opened.close();
    };
  }, [chat, id]);
  return timeline;
}

/** Goes to the place asked for, also when another one is while the conversation is open. A mouse says that there are keys to type on. */
function useStart(
  timeline: TimelineOf,
  at: number | undefined,
  list: React.RefObject<TimelineHandle | null>,
  composer: React.RefObject<ComposerHandle | null>,
): void {
  useEffect(() => {
    if (at !== undefined) void timeline.jumpTo(at).then(() => list.current?.jumpTo(at));
    else if (matchMedia("(pointer: fine)").matches) composer.current?.focus();
  }, [timeline, at, list, composer]);
}

function attempt(action: Promise<void>): void {
  action.catch((error: unknown) => toast(explain(error)));
}

/** Whether a key writes something, and is pressed where nothing is written. */
function isTyped({ key, ctrlKey, metaKey, altKey, target, defaultPrevented }: KeyboardEvent): boolean {
  if (defaultPrevented || ctrlKey || metaKey || altKey || [...key].length !== 1 || key === " ") return false;
  return target instanceof Element && target.closest("input, textarea, select, [popover], dialog") === null;
}

function Waiting() {
  return (
    <div className={styles.waiting}>
      <Spinner label="Loading" />
    </div>
  );
}

function Missing() {
  return (
    <>
      <Header>
        <Back to={paths.list} label="Back to all conversations" />
      </Header>
      <Empty title="No such conversation">
        <p>It is not there, or you are not one of its members any more.</p>
      </Empty>
    </>
  );
}
