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

/** Waits until a condition holds that nothing tells of. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}
