import type { KeyboardEvent } from "react";

/** Lets the arrow keys up and down go from one element to the next, in the order given. Nothing happens while none of them has the focus. */
export function moveFocus(event: KeyboardEvent, stops: readonly HTMLElement[]): void {
  // While an input method is at work, they are that one's.
  if ((event.key !== "ArrowDown" && event.key !== "ArrowUp") || event.nativeEvent.isComposing) {
    return;
  }
  const at = stops.indexOf(document.activeElement as HTMLElement);
  const next = at < 0 ? undefined : stops[at + (event.key === "ArrowDown" ? 1 : -1)];
  if (next !== undefined) {
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}
