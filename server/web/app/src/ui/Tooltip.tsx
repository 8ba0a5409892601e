import { useEffect, useRef } from "react";
import { placeBeside } from "./place.ts";
import styles from "./tooltip.module.css";

/** In milliseconds: a pointer that only passes opens nothing. */
const delay = 500;

/**
 * The one tooltip of the page: it shows the `data-tip` of what the pointer rests on or the keyboard has reached. Screen readers do not need it, since what
 * has a tip has the same text as its name.
 */
export function Tooltip() {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const tip = ref.current;
    if (tip === null) {
      return;
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const hide = () => {
      clearTimeout(timer);
      if (tip.matches(":popover-open")) {
        tip.hidePopover();
      }
    };
    const show = (owner: HTMLElement) => {
      if (owner.isConnected) {
        tip.textContent = owner.dataset.tip ?? "";
        tip.showPopover();
        placeBeside(tip, owner);
      }
    };
    const over = (event: Event) => {
      hide();
      const owner = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-tip]") : null;
      const byKeyboard = event.type === "focusin" && owner?.matches(":focus-visible");
      const byMouse = event instanceof PointerEvent && event.pointerType === "mouse";
      if (owner !== null && (byKeyboard || byMouse)) {
        timer = setTimeout(show, delay, owner);
      }
    };
    const starts = ["pointerover", "focusin"];
    const ends = ["pointerdown", "keydown", "focusout", "scroll"];
    for (const name of starts) {
      document.addEventListener(name, over);
    }
    for (const name of ends) {
      document.addEventListener(name, hide, true);
    }
    return () => {
      hide();
      for (const name of starts) {
        document.removeEventListener(name, over);
      }
      for (const name of ends) {
        document.removeEventListener(name, hide, true);
      }
    };
  }, []);
  return <div ref={ref} popover="manual" className={styles.tooltip} aria-hidden="true" />;
}
