import { defineConfig } from "vitest/config";

export default defineConfig({
  // The schema's package is linked from gen/ts, and finds what it needs where it is linked.
  resolve: { preserveSymlinks: true, dedupe: ["@bufbuild/protobuf"] },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/build.ts"],
    server: { deps: { inline: ["@natterjack/proto"] } },
    testTimeout: 30_000,
  },
});
