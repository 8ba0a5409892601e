import type { Conversation, Member, Message } from "@natterjack/client";
import type { ReactNode } from "react";
import { useMembers, useUser } from "../chat.ts";
import { fullTime } from "../format.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import styles from "./info.module.css";

interface MessageInfoProps {
  conversation: Conversation;
  message: Message;
  onClose: () => void;
}

/** When a message was sent, whom it has reached, and who has reacted. */
export default function MessageInfo({ conversation, message, onClose }: MessageInfoProps) {
  const members = useMembers(conversation.id);
  const { read, delivered } = reached(conversation, message, members);
  return (
    <Dialog title="Message" onClose={onClose}>
      <div className={styles.info}>
        <dl className={styles.times}>
          <dt>Sent</dt>
          <dd>{fullTime(message.time)}</dd>
          {message.editTime !== undefined && (
            <>
              <dt>Edited</dt>
              <dd>{fullTime(message.editTime)}</dd>
            </>
          )}
        </dl>
        {message.reactions.map((reaction) => (
          <People key={reaction.emoji} title={<span className={styles.emoji}>{reaction.emoji}</span>} ids={reaction.userIds} />
        ))}
        {message.mine && (
          <>
            <People title="Read by" ids={read} />
            <People title="Delivered to" ids={delivered} />
            {conversation.receipts.length === 0 && conversation.memberCount > 2 && (
              <p className={styles.note}>Who has read what is not shown in large groups.</p>
            )}
          </>
        )}
      </div>
    </Dialog>
  );
}

/** Who has read a message, and whose devices have it without that. Those who have left are not named. */
function reached({ receipts }: Conversation, { seq }: Message, members: readonly Member[] | undefined) {
  const here = members === undefined ? undefined : new Set(members.map((member) => member.user.id));
  const ids = (past: (receipt: (typeof receipts)[number]) => boolean) =>
    receipts.filter((receipt) => past(receipt) && (here?.has(receipt.userId) ?? true)).map((receipt) => receipt.userId);
  return {
    read: ids((receipt) => receipt.readSeq >= seq),
    delivered: ids((receipt) => receipt.readSeq < seq && receipt.deliveredSeq >= seq),
  };
}

function People({ title, ids }: { title: ReactNode; ids: readonly string[] }) {
  if (ids.length === 0) return null;
  return (
    <section>
      <h3 className={styles.title}>
        {title} <span className={styles.note}>{ids.length}</span>
      </h3>
      <ul>
        {ids.map((id) => (
          <Person key={id} id={id} />
        ))}
      </ul>
    </section>
  );
}

function Person({ id }: { id: string }) {
  const user = useUser(id);
  return (
    <li className={styles.person}>
      <Avatar id={id} name={user?.displayName ?? ""} url={user?.avatarUrl} size={32} />
      <span dir="auto">{user?.displayName ?? "…"}</span>
    </li>
  );
}
