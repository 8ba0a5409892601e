import type { Observable } from "./api.js";

/** Shows an observable that may be exchanged for another one: the one that `pick` finds at the time. `exchanged` tells when to look anew. */
export function follow<T>(exchanged: Observable<unknown>, pick: () => Observable<T>): Observable<T> {
  return {
    get: () => pick().get(),
    subscribe(changed) {
      let inner = pick();
      let leave = inner.subscribe(changed);
      const leaveExchanged = exchanged.subscribe(() => {
        const next = pick();
        if (next !== inner) {
          leave();
          inner = next;
          leave = inner.subscribe(changed);
          changed();
        }
      });
      return () => {
        leaveExchanged();
        leave();
      };
    },
  };
}

/** An observable that never changes. */
export function always<T>(value: T): Observable<T> {
  return { get: () => value, subscribe: () => () => {} };
}

/** Whether both are true. */
export function both(a: Observable<boolean>, b: Observable<boolean>): Observable<boolean> {
  return {
    get: () => a.get() && b.get(),
    subscribe(changed) {
      const leave = [a.subscribe(changed), b.subscribe(changed)];
      return () => {
        for (const l of leave) l();
      };
    },
  };
}
