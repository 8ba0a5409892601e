import styles from "./spinner.module.css";

/** Something goes on. With a label it is also said. */
export function Spinner({ size = 20, label }: { size?: number; label?: string }) {
  return (
    <svg
      className={styles.spinner}
      width={size}
      height={size}
      viewBox="0 0 24 24"
      aria-hidden={label === undefined}
      role="img"
      aria-label={label}
    >
      <circle cx="12" cy="12" r="9" />
    </svg>
  );
}
