import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");

/** How many bytes a page loads that uses this, minified and compressed with gzip. */
async function size(name: string, code: string): Promise<number> {
  const { build } = await import("vite");
  const entry = join(root, `.size-${name}.ts`);
  await writeFile(entry, code);
  try {
    const result = await build({
      root,
      configFile: false,
      logLevel: "error",
      resolve: { preserveSymlinks: true, dedupe: ["@bufbuild/protobuf"] },
      build: { write: false, target: "es2022", modulePreload: false, rolldownOptions: { input: entry } },
    });
    const [built] = Array.isArray(result) ? result : [result];
    if (!built || !("output" in built)) throw new Error("nothing was built");
    return built.output.reduce((sum, file) => sum + (file.type === "chunk" ? gzipSync(file.code, { level: 9 }).length : 0), 0);
  } finally {
    await rm(entry);
  }
}

// Budgets in bytes, a little above what it is now: raise them only for something that is worth it. README.md says what it is.
test.each([
  [
    "the generated client alone, for comparison",
    35_500,
    `import { createClient } from "@connectrpc/connect";
    import { createConnectTransport } from "@connectrpc/connect-web";
    import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
    globalThis.chat = createClient(ChatService, createConnectTransport({ baseUrl: location.origin }));`,
  ],
  [
    "the generated client with the WebSocket transport",
    37_000,
    `import { createClient } from "@connectrpc/connect";
    import { createConnectTransport } from "@connectrpc/connect-web";
    import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";
    import { createWebSocketTransport } from "./src/index.js";
    const baseUrl = location.origin;
    globalThis.chat = createClient(ChatService, createWebSocketTransport({ baseUrl, transport: createConnectTransport({ baseUrl }) }));`,
  ],
  [
    "the whole client",
    64_000,
    `import { createChat } from "./src/index.js";
    globalThis.chat = createChat();`,
  ],
])("%s stays within %i bytes", async (name, budget, code) => {
  const bytes = await size(name.replaceAll(/\W+/g, "-"), code);
  console.log(`${name}: ${bytes} bytes`);
  expect(bytes).toBeLessThanOrEqual(budget);
});
