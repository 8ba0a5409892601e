import styles from "./field.module.css";

/** What went wrong with a form as a whole; said when it appears. */
export function Problem({ text }: { text: string | undefined }) {
  return (
    <div role="alert" className={styles.problem}>
      {text !== undefined && (
        <p className={styles.error} dir="auto">
          {text}
        </p>
      )}
    </div>
  );
}
