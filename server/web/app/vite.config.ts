import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { budget, precompressed, serviceWorker } from "./build.ts";

const server = process.env.NATTERJACK_URL ?? "http://localhost:8080";

export default defineConfig({
  plugins: [react(), serviceWorker(), precompressed(), budget()],
  resolve: {
    // The client's sources, so that what the app does not use of it stays out, and one build is enough.
    // The generated code is outside of this folder, and takes its runtime from here like everything else: one copy.
    preserveSymlinks: true,
    dedupe: ["@bufbuild/protobuf"],
    alias: { "@natterjack/client": fileURLToPath(new URL("../client/src/index.ts", import.meta.url)) },
  },
  server: {
    // `npm run dev`: pages from here, everything else from a server (`go tool task run`).
    proxy: { "/natterjack.": { target: server, ws: true } },
  },
  build: {
    outDir: "../dist/app",
    emptyOutDir: true,
    target: "es2022",
    // The Content-Security-Policy allows no script and no style within the page.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  test: {
    environment: "happy-dom",
    include: ["{src,test}/**/*.test.{ts,tsx}"],
    // What hangs fails in the end; a busy machine takes its time.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The generated code has no packages beside it, unless those for its own checks were installed: it finds them as the app does.
    server: { deps: { inline: ["@natterjack/proto"] } },
  },
});
