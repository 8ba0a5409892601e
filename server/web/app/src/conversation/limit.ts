/** How long a message may be. */

/** The most bytes of UTF-8 that a message may have. */
export const maxBytes = 16_384;

/** From this many bytes on, the composer says how much is left. */
export const warnBytes = 15_000;

const encoder = new TextEncoder();

/** The bytes of a text as it is sent. */
export function bytesOf(text: string): number {
  // A unit of UTF-16 is three bytes at most: short texts need no encoding on each stroke of a key.
  return text.length * 3 < warnBytes ? text.length : encoder.encode(text).length;
}
