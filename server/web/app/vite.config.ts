import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { precompressed, serviceWorker } from "./build.ts";

const server = process.env.NATTERJACK_URL ?? "http://localhost:8080";

export default defineConfig({
  plugins: [react(), serviceWorker(), precompressed()],
  resolve: {
    // The client's sources, so that what the app does not use of it stays out, and one build is enough.
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
    manifest: true,
  },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
