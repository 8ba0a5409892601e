import type { Conversation } from "@natterjack/client";
import { useChat, useConversation, useObservable, usePresence } from "../chat.ts";
import { count, presenceText } from "../format.ts";
import { useNow } from "../now.ts";
import { paths } from "../paths.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Empty } from "../ui/Empty.tsx";
import { Back, Header } from "../ui/Header.tsx";
import { Spinner } from "../ui/Spinner.tsx";
import styles from "./details.module.css";
import { GroupActions } from "./GroupActions.tsx";
import { Members } from "./Members.tsx";

const headings = { direct: "About", group: "Group", unknown: "Details" };

/** The third pane: who is in a conversation, and what can be changed about it. */
export default function Details({ id }: { id: string }) {
  const conversation = useConversation(id);
  const loaded = useObservable(useChat().conversationsLoaded);
  return (
    <>
      <Header>
        <Back to={paths.conversation(id)} when="always" icon="close" label="Close details" />
        <h2 className={styles.heading}>{headings[conversation?.kind ?? "unknown"]}</h2>
      </Header>
      <div className={styles.scroll}>
        {conversation === undefined ? loaded ? <Gone /> : <Spinner label="Loading" /> : <Content conversation={conversation} />}
      </div>
    </>
  );
}

function Gone() {
  return (
    <Empty title="No such conversation">
      <p>It is not there, or you are not one of its members any more.</p>
    </Empty>
  );
}

function Content({ conversation: c }: { conversation: Conversation }) {
  const group = c.kind === "group";
  return (
    <>
      <div className={styles.about}>
        <Avatar id={c.peer?.id ?? c.id} name={c.title} url={c.peer?.avatarUrl} size={96} square={group} />
        <h3 dir="auto" className={styles.title}>
          {c.title}
        </h3>
        {group ? (
          <p>{count(c.memberCount, "member")}</p>
        ) : (
          c.peer !== undefined && <Peer username={c.peer.username} id={c.peer.id} />
        )}
      </div>
      {group && <GroupActions conversation={c} />}
      {group && <Members conversation={c} />}
    </>
  );
}

function Peer({ id, username }: { id: string; username: string }) {
  const presence = presenceText(usePresence(id), useNow());
  return (
    <>
      <p>@{username}</p>
      {presence !== undefined && <p>{presence}</p>}
    </>
  );
}
