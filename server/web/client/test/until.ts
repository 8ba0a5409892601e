import { setTimeout } from "node:timers/promises"; // which goes on where the global one stands still
import type { Observable } from "../src/api.js";

/** Waits until a value is as it should be, and returns it; the test's time is the limit. */
export function until<T, R extends T>(value: Observable<T>, fits: (value: T) => value is R): Promise<R>;
export function until<T>(value: Observable<T>, fits: (value: T) => boolean): Promise<T>;
export function until<T>(value: Observable<T>, fits: (value: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    let leave = () => {};
    const look = () => {
      if (!fits(value.get())) return;
      leave();
      resolve(value.get());
    };
    leave = value.subscribe(look);
    look();
  });
}

/** Waits until an observable value with a status has that one. */
export function status<T extends { readonly status: string }, S extends T["status"]>(
  value: Observable<T>,
  wanted: S,
): Promise<Extract<T, { status: S }>> {
  return until(value, (state): state is Extract<T, { status: S }> => state.status === wanted);
}

/** Waits until a condition holds that nothing tells of. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await setTimeout(5);
}
