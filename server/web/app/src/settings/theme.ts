/** The chosen theme. public/theme.js applies it before the first paint; here it is changed. */

export type Theme = "system" | "light" | "dark";

const key = "natterjack.theme";

export function storedTheme(): Theme {
  const theme = read();
  return theme === "light" || theme === "dark" ? theme : "system";
}

function read(): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage is forbidden
  }
}

/** Uses a theme from now on, on this device. */
export function chooseTheme(theme: Theme): void {
  const { dataset } = document.documentElement;
  try {
    if (theme === "system") {
      delete dataset.theme;
      localStorage.removeItem(key);
    } else {
      dataset.theme = theme;
      localStorage.setItem(key, theme);
    }
  } catch {
    // Storage is forbidden: the choice holds until the page is loaded again.
  }
  paintBrowser();
}

/** Gives the browser's own bars the colour of the ground, whichever theme holds. */
export function paintBrowser(): void {
  const theme = storedTheme();
  for (const meta of document.querySelectorAll<HTMLMetaElement>("meta[name=theme-color]")) {
    const own = meta.media.includes("dark") ? "dark" : "light";
    meta.content = colours[theme === "system" ? own : theme];
  }
}

const colours = { light: "#fbfcfa", dark: "#161c17" };
