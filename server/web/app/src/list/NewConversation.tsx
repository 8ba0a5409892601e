import { useState } from "react";
import { useLocation } from "wouter";
import { useChat } from "../chat.ts";
import { paths } from "../paths.ts";
import { Button } from "../ui/Button.tsx";
import { Choices } from "../ui/Choices.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Field } from "../ui/Field.tsx";
import { Problem } from "../ui/Problem.tsx";
import { useTask } from "../ui/useTask.ts";
import styles from "./new.module.css";
import { PeoplePicker, useChosen } from "./PeoplePicker.tsx";

const kinds = [
  { value: "direct", label: "One person", icon: "person" },
  { value: "group", label: "A group", icon: "people" },
] as const;

/** Begins a conversation with one person, or a group. */
export default function NewConversation({ onClose }: { onClose: () => void }) {
  const chat = useChat();
  const [, navigate] = useLocation();
  const [kind, setKind] = useState<"direct" | "group">("direct");
  const [title, setTitle] = useState("");
  const [chosen, toggle] = useChosen();
  const task = useTask();
  const open = (make: () => Promise<string>) =>
    task.run(async () => {
      navigate(paths.conversation(await make()));
      onClose();
    });
  const create = () =>
    open(() =>
      chat.createGroup(
        title.trim(),
        chosen.map((u) => u.id),
      ),
    );
  const footer = kind === "group" && (
    <Button look="primary" busy={task.busy} disabled={title.trim() === ""} onClick={create}>
      Create group
    </Button>
  );
  return (
    <Dialog title="New conversation" onClose={onClose} footer={footer || undefined}>
      <div className={styles.form}>
        <Choices label="With" value={kind} options={kinds} onChange={setKind} />
        {kind === "group" && (
          <Field
            label="Title"
            value={title}
            maxLength={128}
            dir="auto"
            autoComplete="off"
            onChange={(e) => setTitle(e.target.value)}
          />
        )}
        <Problem text={task.problem} />
        {kind === "direct" ? (
          <PeoplePicker key="direct" onChoose={(u) => open(() => chat.openDirect(u.id))} />
        ) : (
          <PeoplePicker key="group" chosen={chosen} onChoose={toggle} />
        )}
      </div>
    </Dialog>
  );
}
