import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    // A file has a browser and a server of its own; two of them keep two cores busy.
    maxWorkers: 2,
    // What hangs fails in the end; a busy machine takes its time.
    testTimeout: 300_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    // How long a condition may take to come true, as `patience` of the harness; it takes that long only where it does not.
    expect: { poll: { timeout: 60_000, interval: 50 } },
    reporters: ["verbose"],
  },
});
