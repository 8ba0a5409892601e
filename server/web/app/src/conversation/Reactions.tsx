import type { Message, Reaction } from "@natterjack/client";
import { useState } from "react";
import { useChat } from "../chat.ts";
import { Icon } from "../ui/Icon.tsx";
import type { RowActions } from "./actions.ts";
import styles from "./message.module.css";
import { names } from "./words.ts";

interface ReactionsProps {
  message: Message;
  actions: RowActions;
  writes: boolean;
  tabIndex: 0 | -1;
}

/** The reactions to a message, each with its count; a press adds or takes back one's own, where one may. */
export function Reactions({ message, actions, writes, tabIndex }: ReactionsProps) {
  return (
    <div className={styles.reactions}>
      {message.reactions.map((reaction) => (
        <Chip
          key={reaction.emoji}
          reaction={reaction}
          disabled={!writes}
          tabIndex={tabIndex}
          onPress={() => actions.react(message, reaction.emoji, !reaction.mine)}
        />
      ))}
      {writes && (
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
      )}
    </div>
  );
}

interface ChipProps {
  reaction: Reaction;
  disabled: boolean;
  tabIndex: 0 | -1;
  onPress: () => void;
}

function Chip({ reaction, disabled, tabIndex, onPress }: ChipProps) {
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
      // Not `disabled`: who has reacted is told to readers too.
      aria-disabled={disabled}
      aria-pressed={reaction.mine}
      data-tip={tip}
      onPointerEnter={whose}
      onClick={disabled ? undefined : onPress}
    >
      <span>{reaction.emoji}</span> <span className={styles.count}>{count}</span>{" "}
      <span className="hidden-visually">{count === 1 ? "reaction" : "reactions"}</span>
    </button>
  );
}
