/** What the link hears of the browser around it; in Node and in workers some of it is missing. */
export interface Surroundings {
  /** False only where the browser knows that there is no network. */
  online(): boolean;
  /** Whether the page is shown. */
  visible(): boolean;
  /** Calls back when one of them may have changed, or when the page was frozen and goes on. */
  watch(changed: () => void): () => void;
}

export function surroundings(): Surroundings {
  const page = typeof document === "undefined" ? undefined : document;
  return {
    online: () => globalThis.navigator?.onLine !== false,
    visible: () => page?.visibilityState !== "hidden",
    watch(changed) {
      const watched: [EventTarget | undefined, string[]][] = [
        [typeof addEventListener === "function" ? globalThis : undefined, ["online", "offline", "pageshow"]],
        [page, ["visibilitychange", "resume"]],
      ];
      for (const [target, types] of watched) for (const type of types) target?.addEventListener(type, changed);
      return () => {
        for (const [target, types] of watched) for (const type of types) target?.removeEventListener(type, changed);
      };
    },
  };
}
