import type { User } from "@natterjack/client";
import styles from "./names.module.css";

/** Somebody's two names, one below the other, cut short where there is no room. */
export function Names({ user, self = false }: { user: User; self?: boolean }) {
  return (
    <span className={styles.names}>
      <bdi>{user.displayName}</bdi>
      <span>
        @{user.username}
        {self && " (you)"}
      </span>
    </span>
  );
}
