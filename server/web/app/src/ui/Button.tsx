import type { ButtonHTMLAttributes, Ref } from "react";
import styles from "./button.module.css";
import { cx } from "./cx.ts";
import { Icon, type IconName } from "./Icon.tsx";
import { Spinner } from "./Spinner.tsx";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** `primary`: the one thing to do here; `danger`: what cannot be undone; `quiet`: all others; `plain`: without an outline. */
  look?: "primary" | "quiet" | "plain" | "danger" | undefined;
  icon?: IconName | undefined;
  /** What was asked for is going on: the button waits. */
  busy?: boolean | undefined;
  ref?: Ref<HTMLButtonElement> | undefined;
}

export function Button({
  look = "quiet",
  icon,
  busy = false,
  className,
  children,
  type = "button",
  disabled,
  ...rest
}: ButtonProps) {
  return (
    <button
      {...rest}
      type={type}
      className={cx(styles.button, styles[look], className)}
      disabled={disabled === true || busy}
      aria-busy={busy || undefined}
    >
      {busy ? <Spinner size={18} /> : icon !== undefined && <Icon name={icon} size={18} />}
      {children}
    </button>
  );
}

interface IconButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "children"> {
  icon: IconName;
  /** The button's name, also shown as its tooltip. */
  label: string;
  ref?: Ref<HTMLButtonElement> | undefined;
}

/** A square button with a drawing only. */
export function IconButton({ icon, label, className, type = "button", ...rest }: IconButtonProps) {
  return (
    <button {...rest} type={type} className={cx(styles.iconButton, className)} aria-label={label} data-tip={label}>
      <Icon name={icon} />
    </button>
  );
}
