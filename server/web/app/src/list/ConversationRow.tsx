import type { Conversation, Delivery } from "@natterjack/client";
import { memo } from "react";
import { Link } from "wouter";
import { usePresence, useTyping, useUser } from "../chat.ts";
import { preview } from "../conversation/text/preview.ts";
import { deliveries, typingLine } from "../conversation/words.ts";
import { presenceText, shortTime } from "../format.ts";
import { useNow } from "../now.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Badge } from "../ui/Badge.tsx";
import { cx } from "../ui/cx.ts";
import { Icon } from "../ui/Icon.tsx";
import { byline } from "./byline.ts";
import styles from "./row.module.css";

interface RowProps {
  conversation: Conversation;
  to: string;
  /** It is the one on screen. */
  current: boolean;
}

/** A conversation in the list. */
export const ConversationRow = memo(function ConversationRow({ conversation: c, to, current }: RowProps) {
  const now = useNow();
  const presence = usePresence(c.peer?.id);
  const time = c.lastMessage?.time ?? c.updateTime;
  const where = presence.state === "online" || presence.state === "away" ? presenceText(presence, now) : undefined;
  return (
    <Link
      href={to}
      className={cx(styles.row, current && styles.current, c.unread > 0 && styles.unread)}
      aria-current={current ? "page" : undefined}
    >
      <Avatar
        id={c.peer?.id ?? c.id}
        name={c.title}
        url={c.peer?.avatarUrl}
        size={48}
        presence={presence.state}
        square={c.kind === "group"}
      />
      <span className={styles.text}>
        <span className={styles.top}>
          <bdi className={styles.title}>{c.title}</bdi>
          {where !== undefined && <span className="hidden-visually">, {where}</span>}
          <time className={styles.time} dateTime={new Date(time).toISOString()}>
            {shortTime(time, now)}
          </time>
        </span>
        <span className={styles.bottom}>
          <Preview conversation={c} />
          <Badge count={c.unread} />
        </span>
      </span>
    </Link>
  );
});

/** The second line: who types, what was begun, or the newest message. */
function Preview({ conversation: c }: { conversation: Conversation }) {
  const typing = useTyping(c.id);
  const message = c.lastMessage;
  const sender = useUser(c.kind === "group" && message !== undefined && !message.mine ? message.senderId : undefined);
  if (typing.length > 0) {
    // Of a direct conversation, the title has named who.
    return <span className={cx(styles.preview, styles.typing)}>{c.kind === "group" ? typingLine(typing) : "Typing…"}</span>;
  }
  if (c.draft.trim() !== "") {
    return (
      <span className={styles.preview}>
        <span className={styles.draft}>Draft:</span> <bdi>{c.draft.slice(0, 160)}</bdi>
      </span>
    );
  }
  if (message === undefined) {
    return <span className={styles.preview}>{c.kind === "group" ? "New group" : "No messages yet"}</span>;
  }
  const by = byline(c, sender?.displayName);
  return (
    <>
      {message.delivery !== undefined && <Mark delivery={message.delivery} />}
      <span className={cx(styles.preview, message.deleted && styles.deleted)}>
        {by !== undefined && (
          <>
            <bdi>{by}</bdi>:{" "}
          </>
        )}
        <bdi>{preview(message)}</bdi>
      </span>
    </>
  );
}

function Mark({ delivery }: { delivery: Delivery }) {
  const { icon, words } = deliveries[delivery];
  return (
    <span className={cx(styles.mark, styles[delivery])}>
      <Icon name={icon} size={16} />
      <span className="hidden-visually">{words}. </span>
    </span>
  );
}
