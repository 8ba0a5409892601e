import type { Message, Reaction } from "@natterjack/client";
import { useState } from "react";
import { useChat } from "../chat.ts";
import { Icon } from "../ui/Icon.tsx";
import type { RowActions } from "./actions.ts";
import styles from "./message.module.css";
import { names } from "./words.ts";

/** The reactions to a message, each with its count; a press adds or takes back one's own. */
export function Reactions({ message, actions, tabIndex }: { message: Message; actions: RowActions; tabIndex: 0 | -1 }) {
  return (
    <div className={styles.reactions}>
      {message.reactions.map((reaction) => (
        <Chip
          key={reaction.emoji}
          reaction={reaction}
          tabIndex={tabIndex}
          onPress={() => actions.react(message, reaction.emoji, !reaction.mine)}
        />
      ))}
      <button
        type="button"
        className={styles.chip}
        tabIndex={tabIndex}
        aria-label="Add a reaction"
        data-tip="Add a reaction"
        onClick={(event) => actions.pickReaction(message, event.currentTarget)}
      >
        <Icon name="smile" size={16} />
      </button>
    </div>
  );
}

function Chip({ reaction, tabIndex, onPress }: { reaction: Reaction; tabIndex: 0 | -1; onPress: () => void }) {
  const chat = useChat();
  const [tip, setTip] = useState<string>();
  const count = reaction.userIds.length;
  const whose = () => {
    const known = reaction.userIds.slice(0, 10).flatMap((id) => chat.user(id).get()?.displayName ?? []);
    setTip(known.length === 0 ? undefined : names(count > known.length ? [...known, `${count - known.length} more`] : known));
  };
  return (
    <button
      type="button"
      className={styles.chip}
      tabIndex={tabIndex}
      aria-pressed={reaction.mine}
      data-tip={tip}
      onPointerEnter={whose}
      onClick={onPress}
    >
      <span>{reaction.emoji}</span> <span className={styles.count}>{count}</span>{" "}
      <span className="hidden-visually">{count === 1 ? "reaction" : "reactions"}</span>
    </button>
  );
}
