import { type FormEvent, useState } from "react";
import { explain, useAccount, useChat } from "../chat.ts";
import { Avatar } from "../ui/Avatar.tsx";
import { Button } from "../ui/Button.tsx";
import { Switch } from "../ui/Choices.tsx";
import { Field } from "../ui/Field.tsx";
import { Problem } from "../ui/Problem.tsx";
import { toast } from "../ui/toasts.ts";
import { useTask } from "../ui/useTask.ts";
import styles from "./settings.module.css";

/** What others see of the own account. */
export function Profile() {
  const chat = useChat();
  const { user, presenceHidden } = useAccount();
  const [name, setName] = useState(user.displayName);
  const [url, setUrl] = useState(user.avatarUrl);
  const task = useTask();
  const changed = name.trim() !== user.displayName || url.trim() !== user.avatarUrl;
  const save = async (event: FormEvent) => {
    event.preventDefault();
    if (await task.run(() => chat.updateProfile({ displayName: name.trim(), avatarUrl: url.trim() }))) {
      toast("Your profile is saved.");
    }
  };
  return (
    <>
      <form className={styles.form} onSubmit={save}>
        <div className={styles.person}>
          <Avatar id={user.id} name={name} url={url.trim()} size={96} />
          <div>
            <p className={styles.name} dir="auto">
              {name}
            </p>
            <p className={styles.soft}>@{user.username}</p>
          </div>
        </div>
        <Field
          label="Shown name"
          dir="auto"
          required
          maxLength={64}
          autoComplete="name"
          value={name}
          onChange={(e) => setName(e.target.value)}
        />
        <Field
          label="Picture"
          hint="The address of a picture, beginning with https. Without one, your initials are shown."
          type="url"
          inputMode="url"
          pattern="https://.+"
          title="An address that begins with https://"
          maxLength={2048}
          placeholder="https://"
          value={url}
          onChange={(e) => setUrl(e.target.value)}
        />
        <Problem text={task.problem} />
        <div className={styles.buttons}>
          <Button type="submit" look="primary" busy={task.busy} disabled={!changed || name.trim() === ""}>
            Save
          </Button>
        </div>
      </form>
      <Switch
        label="Hide when I am here"
        hint="Others always see you as offline."
        checked={presenceHidden}
        onChange={(on) => void chat.updateProfile({ presenceHidden: on }).catch((error) => toast(explain(error)))}
      />
    </>
  );
}
