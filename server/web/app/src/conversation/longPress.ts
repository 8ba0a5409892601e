import { type PointerEvent, useEffect, useMemo, useRef } from "react";

/** How long a finger rests before it means something else than a tap, in milliseconds. */
const long = 450;

/** How far it may wander meanwhile, in pixels. */
const slack = 10;

/** Handlers that call back, with the place, when a finger rests on an element: a touch screen's way to a context menu. */
export function useLongPress(pressed: (at: DOMPointReadOnly) => void) {
  const latest = useRef(pressed);
  useEffect(() => {
    latest.current = pressed;
  });
  const [handlers, cancel] = useMemo(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let start = { x: 0, y: 0 };
    const cancel = () => clearTimeout(timer);
    const handlers = {
      onPointerDown(event: PointerEvent) {
        cancel();
        if (event.pointerType !== "touch" || !event.isPrimary) return;
        start = { x: event.clientX, y: event.clientY };
        timer = setTimeout(() => latest.current(new DOMPointReadOnly(start.x, start.y)), long);
      },
      onPointerMove(event: PointerEvent) {
        if (Math.hypot(event.clientX - start.x, event.clientY - start.y) > slack) cancel();
      },
      onPointerUp: cancel,
      onPointerCancel: cancel,
    };
    return [handlers, cancel] as const;
  }, []);
  useEffect(() => cancel, [cancel]);
  return handlers;
}
