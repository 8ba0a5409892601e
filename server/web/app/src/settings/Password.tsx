import { type FormEvent, useState } from "react";
import { useAccount, useChat } from "../chat.ts";
import { Button } from "../ui/Button.tsx";
import { Field } from "../ui/Field.tsx";
import { Problem } from "../ui/Problem.tsx";
import { toast } from "../ui/toasts.ts";
import { useTask } from "../ui/useTask.ts";
import styles from "./settings.module.css";

/** Changes the password, which ends all other sessions. */
export function Password() {
  const chat = useChat();
  const { username } = useAccount().user;
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const task = useTask();
  const change = async (event: FormEvent) => {
    event.preventDefault();
    if (await task.run(() => chat.changePassword({ current, next }))) {
      setCurrent("");
      setNext("");
      toast("Your password is changed, and all other sessions have ended.");
    }
  };
  return (
    <form className={styles.form} onSubmit={change}>
      {/* For password managers, which have to know whose password it is. */}
      <input type="text" autoComplete="username" value={username} readOnly hidden />
      <Field
        label="Current password"
        type="password"
        autoComplete="current-password"
        required
        value={current}
        onChange={(e) => setCurrent(e.target.value)}
      />
      <Field
        label="New password"
        type="password"
        autoComplete="new-password"
        hint="8 characters at least. All other sessions end."
        required
        minLength={8}
        value={next}
        onChange={(e) => setNext(e.target.value)}
      />
      <Problem text={task.problem} />
      <div className={styles.buttons}>
        <Button type="submit" busy={task.busy} disabled={current === "" || next === ""}>
          Change password
        </Button>
      </div>
    </form>
  );
}
