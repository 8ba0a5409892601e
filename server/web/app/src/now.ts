import { useSyncExternalStore } from "react";

/** In milliseconds: how often what is told about the past is told anew. */
const tick = 30_000;

let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function subscribe(changed: () => void): () => void {
  listeners.add(changed);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const listener of listeners) {
      listener();
    }
  }, tick);
  return () => {
    listeners.delete(changed);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The present, exact to half a minute: one clock for all that show one. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}
