import styles from "./badge.module.css";

/** A number of unread messages; nothing for none. */
export function Badge({ count, label = "unread" }: { count: number; label?: string }) {
  if (count <= 0) {
    return null;
  }
  return (
    <span className={styles.badge}>
      {count > 999 ? "999+" : count}
      <span className="hidden-visually"> {label}</span>
    </span>
  );
}
