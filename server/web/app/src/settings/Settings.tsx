import { type ReactNode, useState } from "react";
import { useLocation } from "wouter";
import { useChat, useObservable } from "../chat.ts";
import { notifying, setNotifying } from "../notify.ts";
import { paths } from "../paths.ts";
import { Button } from "../ui/Button.tsx";
import { Choices, Switch } from "../ui/Choices.tsx";
import { Confirm } from "../ui/Confirm.tsx";
import { Back, Header } from "../ui/Header.tsx";
import { toast } from "../ui/toasts.ts";
import { Devices } from "./Devices.tsx";
import { Password } from "./Password.tsx";
import { Profile } from "./Profile.tsx";
import styles from "./settings.module.css";
import { chooseTheme, storedTheme } from "./theme.ts";

/** Everything about the account and this device, on one page. */
export default function Settings() {
  return (
    <>
      <Header>
        <Back to={paths.list} />
        <h2 className={styles.heading}>Settings</h2>
      </Header>
      <div className={styles.scroll}>
        <Section title="Profile">
          <Profile />
        </Section>
        <Section title="Appearance">
          <Appearance />
        </Section>
        <Section title="Notifications">
          <Notifications />
        </Section>
        <Section title="Sessions and devices">
          <Devices />
        </Section>
        <Section title="Password">
          <Password />
        </Section>
        <SignOut />
      </div>
    </>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={styles.section} aria-label={title}>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

const themes = [
  { value: "system", label: "System", icon: "monitor" },
  { value: "light", label: "Light", icon: "sun" },
  { value: "dark", label: "Dark", icon: "moon" },
] as const;

function Appearance() {
  const [theme, setTheme] = useState(storedTheme);
  return (
    <Choices
      label="Theme"
      value={theme}
      options={themes}
      onChange={(t) => {
        chooseTheme(t);
        setTheme(t);
      }}
    />
  );
}

const hints = {
  on: "This device tells you of messages while no tab is in view.",
  off: "This device tells you of messages while no tab is in view.",
  blocked: "The browser refuses them for this address. You can change that in its settings for this page.",
  impossible: "This browser has none, or only on addresses that begin with https.",
};

function Notifications() {
  const [state, setState] = useState(notifying);
  return (
    <Switch
      label="Notify me"
      hint={hints[state]}
      checked={state === "on"}
      disabled={state === "blocked" || state === "impossible"}
      onChange={async (on) => setState(await setNotifying(on))}
    />
  );
}

function SignOut() {
  const chat = useChat();
  const waiting = useObservable(chat.waiting);
  const [, navigate] = useLocation();
  const [asking, setAsking] = useState(false);
  const signOut = async () => {
    await chat.signOut();
    navigate(paths.signIn, { replace: true });
    toast("You are signed out.");
  };
  return (
    <div className={styles.end}>
      <Button icon="leave" onClick={() => setAsking(true)}>
        Sign out
      </Button>
      {asking && (
        <Confirm title="Sign out?" verb="Sign out" onConfirm={signOut} onClose={() => setAsking(false)}>
          What this device keeps of your conversations is removed from it.
          {waiting > 0 &&
            ` ${waiting === 1 ? "One message that waits" : `${waiting} messages that wait`} to be sent will be lost.`}
        </Confirm>
      )}
    </div>
  );
}
