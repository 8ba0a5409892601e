/** The addresses of what the program shows. */
export const paths = {
  list: "/",
  settings: "/settings",
  signIn: "/sign-in",
  signUp: "/sign-up",
  /** A conversation; with `at`, from the message at that place. */
  conversation: (id: string, at?: number) => `/c/${encodeURIComponent(id)}${at === undefined ? "" : `?at=${at}`}`,
  /** Members of a group, or the person of a direct conversation. */
  details: (id: string) => `/c/${encodeURIComponent(id)}/details`,
} as const;

/** What of the program an address asks for. */
export type Place =
  | { readonly view: "list" | "settings" | "sign-in" | "sign-up" | "nowhere" }
  | { readonly view: "conversation"; readonly id: string; readonly at?: number }
  | { readonly view: "details"; readonly id: string };

/** Reads an address; `search` is its query, with or without "?". */
export function readPlace(path: string, search = ""): Place {
  switch (path.replace(/(.)\/$/, "$1")) {
    case paths.list:
      return { view: "list" };
    case paths.settings:
      return { view: "settings" };
    case paths.signIn:
      return { view: "sign-in" };
    case paths.signUp:
      return { view: "sign-up" };
  }
  const [, encoded, details] = /^\/c\/([^/]+)(\/details)?\/?$/.exec(path) ?? [];
  const id = encoded === undefined ? undefined : decode(encoded);
  if (id === undefined) {
    return { view: "nowhere" };
  }
  if (details !== undefined) {
    return { view: "details", id };
  }
  const at = Number(new URLSearchParams(search).get("at"));
  return Number.isSafeInteger(at) && at > 0 ? { view: "conversation", id, at } : { view: "conversation", id };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
