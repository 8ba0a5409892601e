/**
 * Tells the style sheets what the keyboard of a phone leaves of the page. Browsers that know `interactive-widget` (index.html) make the page smaller
 * themselves, and nothing is hidden; Safari lays the keyboard over it, and moves it up until what is written in is in sight.
 */
export function watchKeyboard(): void {
  const { visualViewport: seen } = window;
  if (seen === null) return;
  const { documentElement: page } = document;
  const look = () => {
    // Where somebody has enlarged the page by two fingers, what is out of sight is so because of that.
    const enlarged = seen.scale > 1.01;
    const above = Math.round(seen.offsetTop);
    const below = Math.round(page.clientHeight - seen.offsetTop - seen.height);
    const hides = !enlarged && (above > 0 || below > 0);
    const tell = (name: string, pixels: number) =>
      hides ? page.style.setProperty(name, `${pixels}px`) : page.style.removeProperty(name);
    tell("--hidden-above", above);
    tell("--hidden-below", Math.max(0, below));
    tell("--seen", seen.height);
  };
  seen.addEventListener("resize", look);
  seen.addEventListener("scroll", look);
}
