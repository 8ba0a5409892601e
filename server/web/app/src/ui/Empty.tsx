import type { ReactNode } from "react";
import styles from "./empty.module.css";
import { Toad } from "./Toad.tsx";

interface EmptyProps {
  title: string;
  children?: ReactNode;
  /** With the toad, where there is room for it. */
  toad?: boolean;
}

/** What stands where nothing is: why, and what to do about it. */
export function Empty({ title, children, toad = false }: EmptyProps) {
  return (
    <div className={styles.empty}>
      {toad && <Toad size={88} />}
      <h2>{title}</h2>
      {children}
    </div>
  );
}
