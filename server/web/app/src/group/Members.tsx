import type { Conversation, Member } from "@natterjack/client";
import { useDeferredValue, useMemo, useState } from "react";
import { useLocation } from "wouter";
import { explain, useAccount, useChat, useMembers, usePresence } from "../chat.ts";
import { matches } from "../list/match.ts";
import { paths } from "../paths.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Confirm } from "../ui/Confirm.tsx";
import { SearchField } from "../ui/Field.tsx";
import { MenuButton, type MenuItem } from "../ui/Menu.tsx";
import { Names } from "../ui/Names.tsx";
import { Spinner } from "../ui/Spinner.tsx";
import { toast } from "../ui/toasts.ts";
import styles from "./details.module.css";
import { mayChange, mayGive, roleNames, sorted } from "./roles.ts";

/** From so many on, members can be looked for by name. */
const many = 12;
/** How many members' presence is watched: those one sees first. */
const watched = 50;

/** Everybody in a group, and what the own role allows to do about each. */
export function Members({ conversation: c }: { conversation: Conversation }) {
  const members = useMembers(c.id);
  const [query, setQuery] = useState("");
  const wanted = useDeferredValue(query.trim());
  const shown = useMemo(() => {
    const all = sorted(members ?? []);
    return wanted === "" ? all : all.filter((m) => matches(wanted, m.user.displayName, m.user.username));
  }, [members, wanted]);
  if (members === undefined) {
    return (
      <div className={styles.centre}>
        <Spinner label="Loading members" />
      </div>
    );
  }
  return (
    <section aria-label="Members" className={styles.members}>
      {members.length >= many && <SearchField label="Find a member" value={query} onChange={setQuery} />}
      <ul>
        {shown.map((m, i) => (
          <MemberRow key={m.user.id} member={m} conversation={c} watch={i < watched} />
        ))}
      </ul>
      {shown.length === 0 && <p className={styles.centre}>No member of that name.</p>}
    </section>
  );
}

function MemberRow({ member, conversation: c, watch }: { member: Member; conversation: Conversation; watch: boolean }) {
  const { user, role } = member;
  const self = useAccount().user.id === user.id;
  const presence = usePresence(watch && !self ? user.id : undefined);
  const [removing, setRemoving] = useState(false);
  const items = useActions(member, c, () => setRemoving(true));
  return (
    <li className={styles.member}>
      <Avatar id={user.id} name={user.displayName} url={user.avatarUrl} size={40} presence={presence.state} />
      <Names user={user} self={self} />
      {role !== "member" && <span className={styles.role}>{roleNames[role]}</span>}
      {!self && <MenuButton label={`More about ${user.displayName}`} items={items} />}
      {removing && <Remove member={member} conversation={c} onClose={() => setRemoving(false)} />}
    </li>
  );
}

function useActions({ user, role }: Member, c: Conversation, remove: () => void): MenuItem[] {
  const chat = useChat();
  const [, navigate] = useLocation();
  const attempt = (work: () => Promise<void>) => () => void work().catch((error) => toast(explain(error)));
  const message: MenuItem = {
    label: "Message",
    icon: "chat",
    onSelect: attempt(async () => navigate(paths.conversation(await chat.openDirect(user.id)))),
  };
  if (!mayChange(c.role, role)) {
    return [message];
  }
  const change = mayGive(c.role)
    .filter((r) => r !== role)
    .map(
      (r): MenuItem => ({
        label: `Make ${roleNames[r].toLowerCase()}`,
        icon: "shield",
        onSelect: attempt(() => chat.setRole(c.id, user.id, r)),
      }),
    );
  return [message, ...change, { label: "Remove from group", icon: "trash", danger: true, onSelect: remove }];
}

interface RemoveProps {
  member: Member;
  conversation: Conversation;
  onClose: () => void;
}

function Remove({ member, conversation, onClose }: RemoveProps) {
  const chat = useChat();
  return (
    <Confirm
      title="Remove this member?"
      verb="Remove"
      onConfirm={() => chat.removeMember(conversation.id, member.user.id)}
      onClose={onClose}
    >
      <bdi>{member.user.displayName}</bdi> will see no more of what is said in <bdi>{conversation.title}</bdi>.
    </Confirm>
  );
}
