import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { Server } from "./server.js";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
const tsc = join(root, "../node_modules/typescript/bin/tsc");

beforeAll(async () => {
  await rm(join(root, "dist"), { recursive: true, force: true });
  await run(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: root });
}, 60_000);

/** A folder of the package, so that what is in it finds the package by its name. */
async function consumer(name: string, code: string): Promise<string> {
  const folder = await mkdtemp(join(root, ".consumer-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, name), code);
  return folder;
}

test("what is published runs in plain Node, as ES modules", async () => {
  const server = await Server.forTest();
  const folder = await consumer(
    "main.mjs",
    `import { createChat, createWebSocketTransport, isChatError } from "@natterjack/client";
    import { nodeNetwork } from "@natterjack/client/node";
    const chat = createChat({ inMemory: true }, { network: nodeNetwork(process.argv[2]) });
    await chat.signUp({ username: "alice", password: "correct horse" });
    const look = () => {
      const { status, over } = chat.connection.get();
      if (status !== "live") return;
      console.log(over, typeof createWebSocketTransport, typeof isChatError);
      chat.close();
    };
    chat.connection.subscribe(look);
    look(); // it may be live by now`,
  );
  // The schema's package is linked here; where it is installed Node needs no flag.
  const { stdout } = await run(process.execPath, ["--preserve-symlinks", "--preserve-symlinks-main", "main.mjs", server.url], {
    cwd: folder,
  });
  expect(stdout).toBe("http2 function function\n");
});

test("its types are those of the interface", async () => {
  const config = {
    compilerOptions: {
      noEmit: true,
      strict: true,
      module: "nodenext",
      target: "es2022",
      lib: ["es2022", "dom"],
      skipLibCheck: true,
      types: [],
    },
    files: ["main.mts"],
  };
  const folder = await consumer(
    "main.mts",
    `import { type Chat, createChat, isChatError } from "@natterjack/client";
    import { nodeNetwork } from "@natterjack/client/node";
    export const chat: Chat = createChat({ serverUrl: "https://chat.example.org" }, { network: nodeNetwork("") });
    export const over = (): "websocket" | "http2" | "subscribe" | undefined => {
      const state = chat.connection.get();
      return state.status === "live" ? state.over : undefined;
    };
    // @ts-expect-error: a send needs a text
    chat.send("c").catch((error) => isChatError(error) && error.reason);`,
  );
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
  const checked = run(process.execPath, [tsc, "-p", "."], { cwd: folder }).catch((error: { stdout: string }) => error);
  expect((await checked).stdout).toBe("");
});

test("it is installed without this repository: all that it needs has a version", async () => {
  const { dependencies, peerDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Record<
    "dependencies" | "peerDependencies",
    Record<string, string>
  >;
  const needed = Object.entries({ ...dependencies, ...peerDependencies });
  expect(needed.length).toBeGreaterThan(0);
  // A path would be installed as a link to nowhere.
  expect(needed.filter(([, range]) => !/^\^?\d+\.\d+\.\d+$/.test(range))).toEqual([]);
});

test("it has what its package.json says, and nothing of this repository", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--json"], { cwd: root });
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  const { exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { exports: Record<string, unknown> };
  const named = Object.values(exports).flatMap((e) => (typeof e === "string" ? e : Object.values(e as object)));
  expect(paths).toEqual(expect.arrayContaining(named.map((path: string) => path.replace("./", ""))));
  expect(paths.filter((path) => !/^(dist\/.*\.(js|d\.ts)|README\.md|package\.json|LICENSE)$/.test(path))).toEqual([]);
});
