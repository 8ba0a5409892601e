import type { Chat, Message } from "@natterjack/client";
import { useState } from "react";
import { useChat } from "../chat.ts";
import { cx } from "../ui/cx.ts";
import { Icon } from "../ui/Icon.tsx";
import styles from "./message.module.css";
import { deliveries, names } from "./words.ts";

/** How far one's own message has come, in a drawing, and in words for screen readers and those who point at it. */
export function Ticks({ message }: { message: Message }) {
  const chat = useChat();
  const [tip, setTip] = useState<string>();
  const delivery = message.delivery ?? "sent";
  const { icon, words } = deliveries[delivery];
  return (
    // Who has read it is only looked for when somebody wants to know: this stands at every message.
    <span
      className={cx(styles.ticks, styles[delivery])}
      role="img"
      aria-label={words}
      data-tip={tip ?? words}
      onPointerEnter={() => setTip(whoReached(chat, message))}
    >
      <Icon name={icon} size={16} />
    </span>
  );
}

/** "Read by Ada and Bob", as far as the names are known. */
function whoReached(chat: Chat, message: Message): string | undefined {
  const conversation = chat.conversation(message.conversationId).get();
  if (conversation?.kind !== "group" || message.seq === 0) return undefined;
  const known = (ids: readonly string[]) => ids.flatMap((id) => chat.user(id).get()?.displayName ?? []);
  const read = conversation.receipts.filter((receipt) => receipt.readSeq >= message.seq);
  const names_ = known(read.map((receipt) => receipt.userId));
  return names_.length > 0 ? `Read by ${names(names_)}` : undefined;
}
