import type { Conversation } from "@natterjack/client";
import { type FormEvent, useMemo, useState } from "react";
import { useLocation } from "wouter";
import { useChat, useMembers } from "../chat.ts";
import { PeoplePicker, useChosen } from "../list/PeoplePicker.tsx";
import { paths } from "../paths.ts";
import { Button } from "../ui/Button.tsx";
import { Confirm } from "../ui/Confirm.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { Problem } from "../ui/Problem.tsx";
import { useTask } from "../ui/useTask.ts";
import styles from "./details.module.css";
import { manages } from "./roles.ts";

/** What the own role allows to do with a group as a whole. */
export function GroupActions({ conversation }: { conversation: Conversation }) {
  const [dialog, setDialog] = useState<"add" | "rename" | "leave">();
  const close = () => setDialog(undefined);
  return (
    <div className={styles.actions}>
      {manages(conversation.role) && (
        <>
          <Button icon="person-add" onClick={() => setDialog("add")}>
            Add people
          </Button>
          <Button icon="edit" onClick={() => setDialog("rename")}>
            Rename
          </Button>
        </>
      )}
      <Button icon="leave" onClick={() => setDialog("leave")}>
        Leave
      </Button>
      {dialog === "add" && <AddPeople id={conversation.id} onClose={close} />}
      {dialog === "rename" && <Rename id={conversation.id} title={conversation.title} onClose={close} />}
      {dialog === "leave" && <Leave conversation={conversation} onClose={close} />}
    </div>
  );
}

function AddPeople({ id, onClose }: { id: string; onClose: () => void }) {
  const chat = useChat();
  const members = useMembers(id);
  const without = useMemo(() => new Set(members?.map((m) => m.user.id)), [members]);
  const [chosen, toggle] = useChosen();
  const task = useTask();
  const add = async () => {
    const ids = chosen.map((u) => u.id);
    if (await task.run(() => chat.addMembers(id, ids))) {
      onClose();
    }
  };
  const footer = (
    <Button look="primary" busy={task.busy} disabled={chosen.length === 0} onClick={add}>
      {chosen.length > 1 ? `Add ${chosen.length} people` : "Add"}
    </Button>
  );
  return (
    <Dialog title="Add people" onClose={onClose} footer={footer}>
      <Problem text={task.problem} />
      <PeoplePicker chosen={chosen} onChoose={toggle} without={without} />
    </Dialog>
  );
}

function Rename({ id, title, onClose }: { id: string; title: string; onClose: () => void }) {
  const chat = useChat();
  const [text, setText] = useState(title);
  const task = useTask();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (await task.run(() => chat.rename(id, text.trim()))) {
      onClose();
    }
  };
  const footer = (
    <Button type="submit" form="rename" look="primary" busy={task.busy} disabled={text.trim() === ""}>
      Rename
    </Button>
  );
  return (
    <Dialog title="Rename group" onClose={onClose} footer={footer}>
      <form id="rename" onSubmit={submit}>
        <Field
          label="Title"
          dir="auto"
          required
          maxLength={128}
          autoComplete="off"
          value={text}
          onChange={(e) => setText(e.target.value)}
        />
        <Problem text={task.problem} />
      </form>
    </Dialog>
  );
}

function Leave({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const chat = useChat();
  const [, navigate] = useLocation();
  const leave = async () => {
    await chat.leave(conversation.id);
    navigate(paths.list, { replace: true });
  };
  return (
    <Confirm title="Leave this group?" verb="Leave" onConfirm={leave} onClose={onClose}>
      You will see no more of what is said in <bdi>{conversation.title}</bdi>, and need somebody to let you in again.
    </Confirm>
  );
}
