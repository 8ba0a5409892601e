/** What the build does beside Vite: the service worker, and compressed twins of all files, so that the server never compresses. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** What is not in the bundle but part of what has to be there without a network. */
const besides = ["/", "/theme.js", "/icon.svg", "/manifest.webmanifest"];

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
        hash.update(path).update(readFileSync(join(dir, path === "/" ? "index.html" : path)));
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
  return {
    name: "natterjack:precompressed",
    apply: "build",
    enforce: "post",
    writeBundle: {
      order: "post",
      sequential: true,
      handler({ dir = "" }) {
        const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) =>
          /\.(js|css|html|svg|json|webmanifest)$/.test(name),
        );
        for (const name of files) {
          const path = join(dir, name);
          const content = readFileSync(path);
          if (content.length < least) {
            continue;
          }
          const brotli = { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } };
          writeFileSync(`${path}.br`, brotliCompressSync(content, brotli));
          writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
        }
      },
    },
  };
}
