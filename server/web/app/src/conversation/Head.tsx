import type { Conversation } from "@natterjack/client";
import { useLocation } from "wouter";
import { usePresence } from "../chat.ts";
import { count, presenceText } from "../format.ts";
import { useNow } from "../now.ts";
import { paths } from "../paths.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { IconButton } from "../ui/Button.tsx";
import { Back, Header } from "../ui/Header.tsx";
import styles from "./head.module.css";

interface HeadProps {
  conversation: Conversation;
  finding: boolean;
  onFind: () => void;
}

/** Whose conversation it is, and the ways from it. */
export function Head({ conversation, finding, onFind }: HeadProps) {
  const { id, kind, title, peer } = conversation;
  const [path, navigate] = useLocation();
  const presence = usePresence(peer?.id);
  const now = useNow();
  const detailsOpen = path === paths.details(id);
  const toggleDetails = () => navigate(detailsOpen ? paths.conversation(id) : paths.details(id), { replace: detailsOpen });
  return (
    <Header>
      <Back to={paths.list} label="Back to all conversations" />
      <button type="button" className={styles.who} aria-expanded={detailsOpen} onClick={toggleDetails}>
        <Avatar
          id={peer?.id ?? id}
          name={title}
          url={peer?.avatarUrl}
          size={40}
          square={kind === "group"}
          presence={presence.state}
        />
        <span className={styles.names}>
          <h1 dir="auto">{title}</h1>
          <span className={styles.line}>
            {kind === "group" ? count(conversation.memberCount, "member") : presenceText(presence, now)}
          </span>
        </span>
      </button>
      <IconButton icon="search" label="Search in this conversation" aria-pressed={finding} onClick={onFind} />
      <IconButton
        icon={kind === "group" ? "people" : "info"}
        label="Details"
        className={styles.details}
        aria-pressed={detailsOpen}
        onClick={toggleDetails}
      />
    </Header>
  );
}
