import type { Message, Timeline } from "@natterjack/client";
import { type KeyboardEvent, memo, type ReactNode, useRef } from "react";
import { explain, useUser } from "../chat.ts";
import { fullTime, timeOfDay } from "../format.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Button, IconButton } from "../ui/Button.tsx";
import { cx } from "../ui/cx.ts";
import { hueOf } from "../ui/initials.ts";
import { isLive, type RowActions } from "./actions.ts";
import styles from "./message.module.css";
import { Quote } from "./Quote.tsx";
import { Reactions } from "./Reactions.tsx";
import { Ticks } from "./Ticks.tsx";
import { emojiCount } from "./text/emoji.ts";
import { MessageText } from "./text/MessageText.tsx";
import { useContextMenu } from "./useContextMenu.ts";
import { messageLabel } from "./words.ts";

interface MessageRowProps {
  message: Message;
  timeline: Timeline;
  actions: RowActions;
  /** In a group, others are named. */
  group: boolean;
  /** One may write here, and react; a reader may not. */
  writes: boolean;
  first: boolean;
  last: boolean;
  /** It is the one that the Tab key reaches. */
  current: boolean;
  /** It was jumped to just now. */
  lit: boolean;
}

/** One message. It can be focused: Enter opens what can be done with it. */
export const MessageRow = memo(function MessageRow(props: MessageRowProps) {
  const { message, actions, group, writes, first, last, current, lit } = props;
  const sender = useUser(message.senderId);
  const name = sender?.displayName ?? "";
  const line = useRef<HTMLDivElement>(null);
  const contextMenu = useContextMenu((at) => isLive(message) && actions.openMenu(message, at));
  const others = group && !message.mine;
  return (
    <article
      className={cx(styles.row, message.mine && styles.mine, others && styles.others, first && styles.first, last && styles.last)}
      tabIndex={current ? 0 : -1}
      aria-label={messageLabel(message, name, message.editTime !== undefined)}
      data-row={message.key}
      data-seq={message.seq}
      data-delivery={message.delivery}
      data-lit={lit || undefined}
      onKeyDown={(event) => isLive(message) && opensMenu(event) && actions.openMenu(message, line.current ?? event.currentTarget)}
      {...contextMenu}
    >
      <div className={styles.stack}>
        {others && first && (
          <span className={styles.sender} data-hue={hueOf(message.senderId)} dir="auto">
            {name}
          </span>
        )}
        <div ref={line} className={styles.line}>
          {others && last && (
            <span className={styles.face}>
              <Avatar id={message.senderId} name={name} url={sender?.avatarUrl} size={32} />
            </span>
          )}
          <Bubble {...props} />
          {isLive(message) && <Tools {...props} />}
        </div>
        {message.reactions.length > 0 && <Reactions {...{ message, actions, writes }} tabIndex={current ? 0 : -1} />}
        {message.delivery === "failed" && <Failed message={message} actions={actions} />}
      </div>
    </article>
  );
});

function Bubble({ message, timeline, actions, current }: MessageRowProps) {
  const bare = !message.deleted && message.replyTo === 0 && emojiCount(message.content) > 0;
  return (
    <div className={cx(styles.bubble, bare && styles.bare, message.deleted && styles.gone)}>
      {message.replyTo > 0 && !message.deleted && (
        <Quote timeline={timeline} seq={message.replyTo} tabIndex={current ? 0 : -1} onJump={actions.jumpTo} />
      )}
      <div className={styles.content}>
        {message.deleted ? (
          <span className={styles.tombstone}>This message was deleted</span>
        ) : (
          <MessageText content={message.content} />
        )}
        <Meta message={message} />
      </div>
    </div>
  );
}

function Meta({ message }: { message: Message }) {
  return (
    <span className={styles.meta}>
      {message.editTime !== undefined && !message.deleted && (
        <span data-tip={`Edited ${fullTime(message.editTime)}`}>edited</span>
      )}
      <time dateTime={new Date(message.time).toISOString()} data-tip={fullTime(message.time)}>
        {timeOfDay(message.time)}
      </time>
      {message.delivery !== undefined && !message.deleted && <Ticks message={message} />}
    </span>
  );
}

/** What a mouse finds beside a bubble. The same is in the menu, so that the Tab key doesn't stop here. */
function Tools({ message, actions, writes }: MessageRowProps): ReactNode {
  return (
    <div className={styles.tools}>
      {writes && (
        <>
          <IconButton
            icon="smile"
            label="React"
            tabIndex={-1}
            onClick={(event) => actions.pickReaction(message, event.currentTarget)}
          />
          <IconButton icon="reply" label="Reply" tabIndex={-1} onClick={() => actions.reply(message)} />
        </>
      )}
      <IconButton
        icon="more"
        label="More"
        tabIndex={-1}
        aria-haspopup="menu"
        onClick={(event) => actions.openMenu(message, event.currentTarget)}
      />
    </div>
  );
}

function Failed({ message, actions }: { message: Message; actions: RowActions }) {
  return (
    <div className={styles.failure}>
      <span>Not sent. {message.error !== undefined && explain(message.error)}</span>
      <Button look="plain" onClick={() => actions.retry(message)}>
        Try again
      </Button>
      <Button look="plain" onClick={() => actions.discard(message)}>
        Discard
      </Button>
    </div>
  );
}

function opensMenu(event: KeyboardEvent<HTMLElement>): boolean {
  if (event.target !== event.currentTarget || event.key !== "Enter") return false;
  event.preventDefault();
  return true;
}
