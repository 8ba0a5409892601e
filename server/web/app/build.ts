/** What the build does beside Vite: the service worker, compressed twins of all files, so that the server never compresses, and a bound on their size. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import zlib from "node:zlib";
import type { Plugin } from "vite";

const brotli = promisify<zlib.InputType, Buffer>(zlib.brotliCompress);
const gzip = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gzip);

/** What is not in the bundle but part of what has to be there without a network. */
const besides = ["/index.html", "/theme.js", "/icon.svg", "/manifest.webmanifest"];

/** Writes sw.js with a list of all scripts and styles in it, and a version that changes with any of them. */
export function serviceWorker(): Plugin {
  return {
    name: "natterjack:service-worker",
    apply: "build",
    enforce: "post",
    writeBundle({ dir = "" }) {
      const assets = readdirSync(join(dir, "assets")).filter((name) => /\.(js|css)$/.test(name));
      const shell = [...besides, ...assets.map((name) => `/assets/${name}`)];
      const hash = createHash("sha256");
      for (const path of shell) {
        hash.update(path).update(readFileSync(join(dir, path)));
      }
      const source = readFileSync(new URL("sw.js", import.meta.url), "utf8")
        .replace("__VERSION__", hash.digest("hex").slice(0, 12))
        .replace("__SHELL__", JSON.stringify(shell));
      writeFileSync(join(dir, "sw.js"), source);
    },
  };
}

/** Smaller files gain nothing. */
const least = 512;

/** Writes NAME.br and NAME.gz beside each file that gets smaller by it. */
export function precompressed(): Plugin {
  const twins = async (path: string) => {
    const content = readFileSync(path);
    if (content.length >= least) {
      const [br, gz] = await Promise.all([brotli(content), gzip(content, { level: 9 })]);
      writeFileSync(`${path}.br`, br);
      writeFileSync(`${path}.gz`, gz);
    }
  };
  return {
    name: "natterjack:precompressed",
    apply: "build",
    enforce: "post",
    writeBundle: {
      order: "post",
      sequential: true,
      async handler({ dir = "" }) {
        const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) =>
          /\.(js|css|html|svg|json|webmanifest)$/.test(name),
        );
        await Promise.all(files.map((name) => twins(join(dir, name))));
      },
    },
  };
}

/** In bytes: how much JavaScript the first view may be, compressed as browsers get it. */
const firstView = 150_000;

/** Fails the build where the first view has become too much: the conversation at whose address the page was opened, with the list beside it. */
export function budget(): Plugin {
  return {
    name: "natterjack:budget",
    apply: "build",
    enforce: "post",
    async generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter((c) => c.type === "chunk");
      const needed = new Set<string>();
      const need = (name: string) => {
        const chunk = bundle[name];
        if (chunk?.type === "chunk" && !needed.has(name)) {
          needed.add(name);
          chunk.imports.forEach(need);
        }
      };
      for (const chunk of chunks) {
        if (chunk.isEntry || chunk.facadeModuleId?.endsWith("/src/conversation/index.tsx")) {
          need(chunk.fileName);
        }
      }
      const sizes = await Promise.all(chunks.filter((c) => needed.has(c.fileName)).map((c) => brotli(c.code)));
      const size = sizes.reduce((sum, s) => sum + s.length, 0);
      this.info(`the first view is ${(size / 1000).toFixed(1)} kB of compressed JavaScript, of ${firstView / 1000} kB`);
      if (size > firstView) {
        this.error("the first view is too large: load what it does not need later");
      }
    },
  };
}
