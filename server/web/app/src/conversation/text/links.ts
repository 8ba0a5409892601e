/** Finds what a reader would want to click. Only addresses of the web and of mail become links, whatever the text claims to be. */

import { LinkifyIt } from "linkify-it";

/** A link in a text: where it stands (`end` exclusive), and where it leads. */
export interface FoundLink {
  readonly start: number;
  readonly end: number;
  readonly href: string;
}

const schemes = new Set(["http:", "https:", "mailto:"]);

// Without a scheme, "readme.md" and "main.rs" look like addresses too: only endings that are hardly ever names of files count there.
const endings = [
  "com",
  "org",
  "net",
  "edu",
  "gov",
  "int",
  "info",
  "dev",
  "app",
  "io",
  "eu",
  "de",
  "uk",
  "fr",
  "nl",
  "ch",
  "at",
  "us",
  "jp",
];

const finder = new LinkifyIt({ fuzzyLink: true, fuzzyEmail: true, tlds: endings }).add("//", null).add("ftp:", null);

/** All links of a text, in order and apart from each other. Its time grows with the length of the text. */
export function findLinks(text: string): FoundLink[] {
  const found: FoundLink[] = [];
  for (const match of finder.match(text) ?? []) {
    // Marks behind an address belong to the text around it: **https://example.com**
    let marks = 0;
    while ("*_~".includes(match.raw[match.raw.length - 1 - marks] ?? " ")) marks++;
    const href = safeHref(match.url.slice(0, match.url.length - marks));
    if (href !== undefined) found.push({ start: match.index, end: match.lastIndex - marks, href });
  }
  return found;
}

/** The address as the browser writes it, or undefined where it isn't one that may be opened. */
export function safeHref(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, href } = new URL(url);
  return schemes.has(protocol) ? href : undefined;
}
