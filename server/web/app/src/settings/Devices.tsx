import type { SessionInfo } from "@natterjack/client";
import { useCallback, useEffect, useState } from "react";
import { explain, useChat } from "../chat.ts";
import { ago, fullTime } from "../format.ts";
import { useNow } from "../now.ts";
import { Button } from "../ui/Button.tsx";
import { Confirm } from "../ui/Confirm.tsx";
import { Icon } from "../ui/Icon.tsx";
import { Spinner } from "../ui/Spinner.tsx";
import styles from "./settings.module.css";

type Ending = { readonly title: string; readonly text: string; readonly end: () => Promise<void> };

/** Where the account is signed in, and how to end that. */
export function Devices() {
  const chat = useChat();
  const [sessions, setSessions] = useState<readonly SessionInfo[]>();
  const [problem, setProblem] = useState<string>();
  const [ending, setEnding] = useState<Ending>();
  const load = useCallback(async () => {
    setProblem(undefined);
    try {
      setSessions(await chat.sessions());
    } catch (error) {
      setProblem(explain(error));
    }
  }, [chat]);
  useEffect(() => void load(), [load]);
  if (problem !== undefined) {
    return (
      <div className={styles.form} role="alert">
        <p>{problem}</p>
        <div className={styles.buttons}>
          <Button icon="retry" onClick={load}>
            Try again
          </Button>
        </div>
      </div>
    );
  }
  if (sessions === undefined) {
    return <Spinner label="Loading sessions" />;
  }
  const end = (s: SessionInfo) =>
    setEnding({
      title: "End this session?",
      text: `“${nameOf(s)}” has to sign in again.`,
      end: () => chat.revokeSession(s.id),
    });
  const endOthers = () =>
    setEnding({
      title: "End all other sessions?",
      text: "All other devices have to sign in again.",
      end: () => chat.revokeOtherSessions(),
    });
  return (
    <>
      <ul className={styles.sessions}>
        {[...sessions]
          .sort((a, b) => Number(b.current) - Number(a.current))
          .map((s) => (
            <Session key={s.id} session={s} onEnd={() => end(s)} />
          ))}
      </ul>
      {sessions.length > 1 && (
        <div className={styles.buttons}>
          <Button onClick={endOthers}>End all other sessions</Button>
        </div>
      )}
      {ending !== undefined && (
        <Confirm
          title={ending.title}
          verb="End"
          onConfirm={async () => {
            await ending.end();
            await load();
          }}
          onClose={() => setEnding(undefined)}
        >
          {ending.text}
        </Confirm>
      )}
    </>
  );
}

function nameOf(s: SessionInfo): string {
  return s.deviceName === "" ? "Unnamed device" : s.deviceName;
}

function Session({ session: s, onEnd }: { session: SessionInfo; onEnd: () => void }) {
  const now = useNow();
  return (
    <li className={styles.session}>
      <Icon name={/phone|android|ios/i.test(s.deviceName) ? "device" : "monitor"} />
      <div>
        <p className={styles.name} dir="auto">
          {nameOf(s)}
        </p>
        <p className={styles.soft}>
          {s.current ? "This device" : <time title={fullTime(s.refreshTime)}>{`Active ${ago(s.refreshTime, now)}`}</time>}
          {s.address !== "" && ` · ${s.address}`}
        </p>
      </div>
      {!s.current && (
        <Button look="plain" onClick={onEnd} aria-label={`End session ${nameOf(s)}`}>
          End
        </Button>
      )}
    </li>
  );
}
