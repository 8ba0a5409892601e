import styles from "./toad.module.css";

/** The mark: a natterjack from above the water line, with the yellow stripe down its back. */
export function Toad({ size = 32 }: { size?: number }) {
  return (
    <svg className={styles.toad} width={size} height={size} viewBox="0 0 64 64" aria-hidden="true" focusable="false">
      <path
        className={styles.body}
        d="M32 13c3 0 5.5.5 8 1.4A8.5 8.5 0 0 1 55.5 21c0 1.7-.5 3.3-1.3 4.6C57.3 29.3 59 34 59 39c0 10-8 15-27 15S5 49 5 39c0-5 1.7-9.7 4.8-13.4A8.5 8.5 0 0 1 8.5 21 8.5 8.5 0 0 1 24 14.4c2.5-.9 5-1.4 8-1.4"
      />
      <path className={styles.stripe} d="M32 13v17" />
      <circle className={styles.eye} cx="17" cy="21" r="4.5" />
      <circle className={styles.eye} cx="47" cy="21" r="4.5" />
      <path className={styles.line} d="M14.5 21h5M44.5 21h5" />
      <path className={styles.mouth} d="M15 38c4 5 10 7 17 7s13-2 17-7" />
    </svg>
  );
}
