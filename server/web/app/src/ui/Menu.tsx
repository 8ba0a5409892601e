import { type KeyboardEvent, type ReactNode, useLayoutEffect, useRef, useState } from "react";
import { IconButton } from "./Button.tsx";
import { cx } from "./cx.ts";
import { Icon, type IconName } from "./Icon.tsx";
import styles from "./menu.module.css";
import { placeBeside } from "./place.ts";

export interface MenuItem {
  label: string;
  icon?: IconName;
  onSelect: () => void;
  /** It cannot be undone. */
  danger?: boolean;
}

interface MenuProps {
  label: string;
  items: readonly MenuItem[];
  /** What it opens beside: an element, or a point (of a context menu). */
  at: Element | DOMPointReadOnly;
  onClose: () => void;
  /** Stands above the items, such as a row of emoji. */
  children?: ReactNode;
}

/** A menu, open for as long as it is rendered; on a phone it comes up from below. Arrow keys, Home, End and first letters move in it, also to what stands above the items. */
export function Menu({ label, items, at, onClose, children }: MenuProps) {
  const ref = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it opens once, where it was asked for
  useLayoutEffect(() => {
    const menu = ref.current;
    if (menu === null) {
      return;
    }
    menu.showPopover();
    placeBeside(menu, at);
    menu.querySelector<HTMLElement>("[role=menuitem]")?.focus({ preventScroll: true });
  }, []);
  return (
    <div
      ref={ref}
      popover="auto"
      role="menu"
      aria-label={label}
      className={styles.menu}
      onKeyDown={moveFocus}
      onToggle={(e) => e.newState === "closed" && onClose()}
    >
      {children}
      {items.map((item) => (
        <button
          key={item.label}
          type="button"
          role="menuitem"
          tabIndex={-1}
          className={cx(styles.item, item.danger && styles.danger)}
          onClick={() => {
            ref.current?.hidePopover();
            item.onSelect();
          }}
        >
          {item.icon !== undefined && <Icon name={item.icon} />}
          <span>{item.label}</span>
        </button>
      ))}
    </div>
  );
}

function choices(menu: Element): HTMLElement[] {
  return [...menu.querySelectorAll<HTMLElement>("[role^=menuitem]")];
}

function moveFocus(event: KeyboardEvent<HTMLElement>) {
  const all = choices(event.currentTarget);
  const now = all.findIndex((c) => c.matches(":focus"));
  const next = target(event.key, all, now);
  if (next !== undefined) {
    event.preventDefault();
    event.stopPropagation();
    next.focus();
  } else if (event.key === "Tab") {
    event.currentTarget.hidePopover();
  }
}

function target(key: string, all: HTMLElement[], now: number): HTMLElement | undefined {
  switch (key) {
    case "ArrowDown":
    case "ArrowRight":
      return all[(now + 1) % all.length];
    case "ArrowUp":
    case "ArrowLeft":
      return all.at(now <= 0 ? -1 : now - 1);
    case "Home":
      return all[0];
    case "End":
      return all.at(-1);
  }
  if (key.length !== 1 || key === " ") {
    return undefined;
  }
  const starts = (e: HTMLElement) => e.textContent?.toLocaleLowerCase().startsWith(key.toLocaleLowerCase());
  return [...all.slice(now + 1), ...all].find(starts);
}

interface MenuButtonProps {
  label: string;
  items: readonly MenuItem[];
}

/** A button with three dots that opens a menu. */
export function MenuButton({ label, items }: MenuButtonProps) {
  const button = useRef<HTMLButtonElement>(null);
  const [open, setOpen] = useState(false);
  return (
    <>
      <IconButton
        ref={button}
        icon="more"
        label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      />
      {open && button.current !== null && <Menu label={label} items={items} at={button.current} onClose={() => setOpen(false)} />}
    </>
  );
}
