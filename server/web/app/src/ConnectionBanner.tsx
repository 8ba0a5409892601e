import type { ConnectionState } from "@natterjack/client";
import { useEffect, useState } from "react";
import styles from "./banner.module.css";
import { useChat, useObservable } from "./chat.ts";
import { Button } from "./ui/Button.tsx";
import { Icon } from "./ui/Icon.tsx";

/** In milliseconds: a connection that is back sooner was never worth a word. */
const patience = 2500;

/** One line above everything while what happens is not shown as it happens, or nothing of it stays. It is always there for screen readers, and empty else. */
export function ConnectionBanner() {
  const chat = useChat();
  const connection = useObservable(chat.connection);
  const waiting = useObservable(chat.waiting);
  const keeps = useObservable(chat.keeps);
  const text = useLater(describe(connection.status));
  return (
    <div role="status" className={styles.place}>
      {text === undefined && !keeps && (
        <div className={styles.banner}>
          <Icon name="info" size={18} />
          <span>This browser stores nothing. You are signed in for as long as this page is open.</span>
        </div>
      )}
      {text !== undefined && (
        <div className={styles.banner}>
          <Icon name="offline" size={18} />
          <span>
            {text}
            {waiting > 0 && ` ${waiting === 1 ? "One message waits" : `${waiting} messages wait`} to be sent.`}
          </span>
          {(connection.status === "waiting" || connection.status === "stopped") && (
            <Button look="plain" onClick={() => chat.reconnect()}>
              {connection.status === "waiting" ? "Try now" : "Connect"}
            </Button>
          )}
        </div>
      )}
    </div>
  );
}

function describe(status: ConnectionState["status"]): string | undefined {
  switch (status) {
    case "offline":
      return "You are offline.";
    case "connecting":
    case "waiting":
      return "Connecting…";
    case "stopped":
      return "Not connected. If connecting does not help, load the page anew."; // the server told this client to stay away
    default:
      return undefined;
  }
}

/** A text once something has been wrong for longer than `patience`; undefined at once when nothing is. */
function useLater(text: string | undefined): string | undefined {
  const wrong = text !== undefined;
  const [late, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (!wrong) {
      return;
    }
    const timer = setTimeout(() => setLate(true), patience);
    return () => clearTimeout(timer);
  }, [wrong]);
  return late ? text : undefined;
}
