// Loaded before the first paint, so that a chosen theme does not flash in after the other. src/settings/theme.ts writes what this reads.
try {
  const theme = localStorage.getItem("natterjack.theme");
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset.theme = theme;
  }
} catch {
  // No storage: the system's theme it is.
}
