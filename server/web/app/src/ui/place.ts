/** In pixels: what stays free between what opens, what it opens beside, and the edge of the window. */
const gap = 6;

/**
 * Puts an element of the top layer below what it belongs to, or above where there is more room; its beginning under that one's beginning, moved as far as
 * is needed to stay in the window. Its style says so by `left: var(--at-x)` and `top: var(--at-y)`.
 */
export function placeBeside(element: HTMLElement, at: Element | DOMPointReadOnly): void {
  const anchor = at instanceof Element ? at.getBoundingClientRect() : new DOMRect(at.x, at.y, 0, 0);
  const { offsetWidth: width, offsetHeight: height } = element;
  const { innerWidth, innerHeight } = window;
  const below = innerHeight - anchor.bottom >= height + 2 * gap || anchor.top < innerHeight - anchor.bottom;
  const top = below ? anchor.bottom + gap : anchor.top - height - gap;
  const startAtRight = getComputedStyle(element).direction === "rtl";
  const left = startAtRight ? anchor.right - width : anchor.left;
  element.style.setProperty("--at-x", `${clamp(left, gap, innerWidth - width - gap)}px`);
  element.style.setProperty("--at-y", `${clamp(top, gap, innerHeight - height - gap)}px`);
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(value, high));
}
