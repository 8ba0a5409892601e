import type { Conversation, Message } from "@natterjack/client";
import { manages, mayWrite } from "../group/roles.ts";
import { Menu, type MenuItem } from "../ui/Menu.tsx";
import { toast } from "../ui/toasts.ts";
import type { Place } from "./actions.ts";
import styles from "./menu.module.css";

/** What most reactions are. */
const quick = ["👍", "❤️", "😂", "😮", "😢", "🎉"];

interface MessageMenuProps {
  conversation: Conversation;
  message: Message;
  at: Place;
  onClose: () => void;
  onReact: (emoji: string, on: boolean) => void;
  onPickReaction: () => void;
  onReply: () => void;
  onEdit: () => void;
  onDelete: () => void;
  onInfo: () => void;
}

/** All that can be done with a message. */
export default function MessageMenu(props: MessageMenuProps) {
  const { message, at, onClose } = props;
  return (
    <Menu label="Message" items={itemsOf(props)} at={at} onClose={onClose}>
      {mayWrite(props.conversation) && (
        <div className={styles.quick}>
          {quick.map((emoji) => {
            const mine = message.reactions.some((reaction) => reaction.emoji === emoji && reaction.mine);
            return (
              <button
                key={emoji}
                type="button"
                role="menuitemcheckbox"
                aria-checked={mine}
                aria-label={`React with ${emoji}`}
                tabIndex={-1}
                className={styles.emoji}
                onClick={(event) => {
                  event.currentTarget.closest<HTMLElement>("[popover]")?.hidePopover();
                  props.onReact(emoji, !mine);
                }}
              >
                {emoji}
              </button>
            );
          })}
        </div>
      )}
    </Menu>
  );
}

function itemsOf({ conversation, message, ...props }: MessageMenuProps): MenuItem[] {
  const writes = mayWrite(conversation);
  const moderates = conversation.kind === "group" && manages(conversation.role);
  const items: MenuItem[] = [];
  if (writes) {
    items.push({ label: "More reactions…", icon: "smile", onSelect: props.onPickReaction });
    items.push({ label: "Reply", icon: "reply", onSelect: props.onReply });
  }
  if (message.mine && writes) items.push({ label: "Edit", icon: "edit", onSelect: props.onEdit });
  items.push({ label: "Copy text", icon: "copy", onSelect: () => void copy(message.content) });
  items.push({ label: "Info", icon: "info", onSelect: props.onInfo });
  if ((message.mine && writes) || moderates)
    items.push({ label: "Delete…", icon: "trash", danger: true, onSelect: props.onDelete });
  return items;
}

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser did not allow copying.");
  }
}
