import type { ReactNode } from "react";
import { useLocation } from "wouter";
import { IconButton } from "./Button.tsx";
import { cx } from "./cx.ts";
import styles from "./header.module.css";

/** The head of a pane: all have the same height, so that they line up. */
export function Header({ children, className }: { children: ReactNode; className?: string | undefined }) {
  return <header className={cx(styles.header, className)}>{children}</header>;
}

interface BackProps {
  /** The address of what is one step up. */
  to: string;
  /** `phone`: where one pane is shown; `always`. */
  when?: "phone" | "always";
  label?: string;
  icon?: "back" | "close";
}

/** Goes one step up. Where that is what was there before, it goes back, so that the system's own way back doesn't lead here again. */
export function Back({ to, when = "phone", label = "Back", icon = "back" }: BackProps) {
  const [, navigate] = useLocation();
  const go = () => {
    if (isPrevious(to)) {
      history.back();
    } else {
      navigate(to, { replace: true });
    }
  };
  return <IconButton icon={icon} label={label} className={cx(icon === "back" && styles.back, styles[when])} onClick={go} />;
}

/** Whether the step before this one in the tab's history was `to`; browsers that don't tell say no. */
function isPrevious(to: string): boolean {
  const { navigation } = window as {
    navigation?: { currentEntry: { index: number } | null; entries(): { url: string | null }[] };
  };
  const before = navigation?.entries()[(navigation.currentEntry?.index ?? 0) - 1]?.url;
  return typeof before === "string" && before === new URL(to, location.href).href;
}
