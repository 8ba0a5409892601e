import { type MouseEvent, type PointerEvent, type TouchEvent, useEffect, useMemo, useRef } from "react";

/** How long a finger rests before it means something else than a tap, in milliseconds. */
const long = 450;

/** How far it may wander meanwhile, in pixels. */
const slack = 10;

/**
 * Handlers that call back, with the place, where a context menu is asked for: by the second button of a mouse, or a finger that rests. Both are told after
 * the button or the finger is up again: a popover that opens before is closed by that.
 */
export function useContextMenu(asked: (at: DOMPointReadOnly) => void) {
  const latest = useRef(asked);
  useEffect(() => {
    latest.current = asked;
  });
  const [handlers, stop] = useMemo(() => menuHandlers((at) => latest.current(at)), []);
  useEffect(() => stop, [stop]);
  return handlers;
}

function menuHandlers(asked: (at: DOMPointReadOnly) => void) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let start = new DOMPointReadOnly();
  let held = false;
  let lifted = false;
  const stop = () => {
    clearTimeout(timer);
    held = false;
  };
  const handlers = {
    onPointerDown(event: PointerEvent) {
      stop();
      if (event.pointerType !== "touch" || !event.isPrimary) return;
      start = pointOf(event);
      timer = setTimeout(() => {
        held = true;
        // Not everywhere, and not without a touch before.
        navigator.vibrate?.(10);
      }, long);
    },
    onPointerMove(event: PointerEvent) {
      if (Math.hypot(event.clientX - start.x, event.clientY - start.y) > slack) stop();
    },
    onPointerUp() {
      lifted = held;
      if (held) setTimeout(asked, 0, start);
      stop();
    },
    onTouchEnd(event: TouchEvent) {
      // The browser may wait longer than this, and take it for a tap, which would close what opens.
      if (lifted && event.cancelable) event.preventDefault();
      lifted = false;
    },
    onPointerCancel: stop,
    onContextMenu(event: MouseEvent<HTMLElement>) {
      if (keepsOwnMenu(event)) return stop();
      event.preventDefault();
      // Of a finger the handlers above know.
      if (isTouch(event.nativeEvent)) return;
      const at = pointOf(event);
      if (event.buttons === 0) setTimeout(asked, 0, at);
      else addEventListener("pointerup", () => setTimeout(asked, 0, at), { once: true });
    },
  };
  return [handlers, stop] as const;
}

function pointOf({ clientX, clientY }: MouseEvent): DOMPointReadOnly {
  return new DOMPointReadOnly(clientX, clientY);
}

function isTouch(event: globalThis.MouseEvent): boolean {
  return "pointerType" in event && event.pointerType === "touch";
}

/** A link has a menu of its own, and so has text that was selected. */
function keepsOwnMenu(event: MouseEvent): boolean {
  return (event.target instanceof Element && event.target.closest("a") !== null) || getSelection()?.isCollapsed === false;
}
