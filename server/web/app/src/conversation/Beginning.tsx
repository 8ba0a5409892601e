import type { Conversation } from "@natterjack/client";
import { Avatar } from "../ui/Avatar.tsx";
import styles from "./timeline.module.css";

/** What stands above the first message. */
export function Beginning({ conversation }: { conversation: Conversation }) {
  const { kind, title, peer, memberCount } = conversation;
  return (
    <div className={styles.beginning}>
      <Avatar id={peer?.id ?? conversation.id} name={title} url={peer?.avatarUrl} size={96} square={kind === "group"} />
      <h2 dir="auto">{title}</h2>
      <p>
        {kind === "direct" ? (
          <>
            This is where your conversation with <bdi>@{peer?.username ?? title}</bdi> begins.
          </>
        ) : (
          `This is where the group begins. ${memberCount === 1 ? "Only you are here so far." : `It has ${memberCount} members.`}`
        )}
      </p>
    </div>
  );
}
