import styles from "./badge.module.css";

/** A number of unread messages; nothing for none. */
export function Badge({ count }: { count: number }) {
  if (count <= 0) {
    return null;
  }
  return (
    <span className={styles.badge}>
      {count > 999 ? "999+" : count}
      <span className="hidden-visually"> unread</span>
    </span>
  );
}
