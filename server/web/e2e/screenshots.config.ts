import { defineConfig } from "vitest/config";

/** `go tool task web-screenshots`: not a test, but the runner, server and devices are those of the tests. */
export default defineConfig({
  test: {
    include: ["screenshots.ts"],
    testTimeout: 600_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 60_000, interval: 50 } },
    reporters: ["verbose"],
  },
});
