import { defineConfig } from "vitest/config";

export default defineConfig({
  // The schema's package is linked from gen/ts, and finds what it needs where it is linked.
  resolve: {
    preserveSymlinks: true,
    dedupe: ["@bufbuild/protobuf"],
    // The examples import the package by its name.
    alias: {
      "@natterjack/client/node": new URL("src/node.ts", import.meta.url).pathname,
      "@natterjack/client": new URL("src/index.ts", import.meta.url).pathname,
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/build.ts"],
    server: { deps: { inline: ["@natterjack/proto"] } },
    // What hangs fails in the end; a busy machine takes its time, and so do the pauses of a client whose server comes back slowly.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
