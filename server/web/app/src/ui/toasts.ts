/** Short notes at the edge of the window, from anywhere in the program. */

export interface Toast {
  readonly key: number;
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void } | undefined;
}

/** How long a note without an action stays, in milliseconds; one with an action stays until it is used or closed. */
const stay = 6000;

let toasts: readonly Toast[] = [];
let nextKey = 1;
const listeners = new Set<() => void>();

function set(next: readonly Toast[]): void {
  toasts = next;
  for (const changed of listeners) {
    changed();
  }
}

/** Shows a note, and says it to screen readers. A text that is shown already is not shown twice. */
export function toast(text: string, action?: Toast["action"]): void {
  const key = nextKey++;
  set([...toasts.filter((t) => t.text !== text), { key, text, action }]);
  if (action === undefined) {
    setTimeout(() => dismiss(key), stay);
  }
}

export function dismiss(key: number): void {
  set(toasts.filter((t) => t.key !== key));
}

/** The notes on screen, for the component that shows them. */
export const shownToasts = {
  get: () => toasts,
  subscribe(changed: () => void) {
    listeners.add(changed);
    return () => void listeners.delete(changed);
  },
};
