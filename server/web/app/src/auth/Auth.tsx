import { isChatError } from "@natterjack/client";
import { type FormEvent, useState } from "react";
import { Link, useLocation } from "wouter";
import { explain, useChat } from "../chat.ts";
import { paths, readPlace } from "../paths.ts";
import { Button } from "../ui/Button.tsx";
import { Field } from "../ui/Field.tsx";
import { Problem } from "../ui/Problem.tsx";
import { Toad } from "../ui/Toad.tsx";
import styles from "./auth.module.css";

const reasons = {
  revoked: "This session was ended, here or from another of your devices. Please sign in again.",
  expired: "You were away for a long time. Please sign in again.",
};

/** Signing in, and signing up at an address of its own. Afterwards one is where one wanted to be. */
export default function Auth({ reason }: { reason: "revoked" | "expired" | undefined }) {
  const [path] = useLocation();
  const up = readPlace(path).view === "sign-up";
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <header className={styles.brand}>
          <Toad size={72} />
          <h1>Natterjack</h1>
          <p>{up ? "Make an account. All it needs is a name and a password." : "Talk with your people."}</p>
        </header>
        {reason !== undefined && !up && (
          <p className={styles.reason} role="status">
            {reasons[reason]}
          </p>
        )}
        <Form key={up ? "up" : "in"} up={up} />
        <p className={styles.other}>
          {up ? "Already have an account?" : "New here?"}{" "}
          <Link href={up ? paths.signIn : paths.signUp}>{up ? "Sign in" : "Make an account"}</Link>
        </p>
      </div>
    </main>
  );
}

type Problems = Partial<Record<"username" | "password" | "displayName" | "form", string>>;

/** Puts what the server refuses beside the field that it is about. */
function placeProblem(error: unknown): Problems {
  const text = explain(error);
  if (!isChatError(error)) {
    return { form: text };
  }
  if (error.reason === "USERNAME_TAKEN") {
    return { username: "Somebody has this name already." };
  }
  if (error.reason === "WRONG_CREDENTIALS") {
    return { form: "The username or the password is not right." };
  }
  switch (error.field) {
    case "username":
    case "password":
      return { [error.field]: text };
    case "display_name":
      return { displayName: text };
    default:
      return { form: text };
  }
}

function Form({ up }: { up: boolean }) {
  const chat = useChat();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [displayName, setDisplayName] = useState("");
  const [busy, setBusy] = useState(false);
  const [problems, setProblems] = useState<Problems>({});
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (busy) {
      return;
    }
    setBusy(true);
    setProblems({});
    try {
      const form = { username: username.trim(), password };
      await (up
        ? chat.signUp({ ...form, ...(displayName.trim() !== "" && { displayName: displayName.trim() }) })
        : chat.signIn(form));
    } catch (error) {
      setProblems(placeProblem(error));
      setBusy(false);
    }
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <Field
        label="Username"
        name="username"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        maxLength={32}
        autoFocus
        {...(up && {
          minLength: 3,
          pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]+",
          title: "Letters, digits, dots, dashes and underscores, beginning with a letter or digit",
          hint: "3 to 32 letters, digits, dots, dashes and underscores.",
        })}
        value={username}
        error={problems.username}
        onChange={(e) => setUsername(e.target.value)}
      />
      {up && (
        <Field
          label="Shown name (optional)"
          name="name"
          autoComplete="name"
          maxLength={64}
          dir="auto"
          hint="What others see. You can change it later."
          value={displayName}
          error={problems.displayName}
          onChange={(e) => setDisplayName(e.target.value)}
        />
      )}
      <Field
        label="Password"
        name="password"
        type="password"
        autoComplete={up ? "new-password" : "current-password"}
        required
        {...(up && { minLength: 8, hint: "8 characters at least." })}
        value={password}
        error={problems.password}
        onChange={(e) => setPassword(e.target.value)}
      />
      <Problem text={problems.form} />
      <Button type="submit" look="primary" busy={busy}>
        {up ? "Make account" : "Sign in"}
      </Button>
    </form>
  );
}
