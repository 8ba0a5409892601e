import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    natterjack: string;
  }
}

/** Builds the server once for all tests. SERVER_UNDER_TEST names one that is there already. */
export default function setup(project: TestProject): () => void {
  const given = process.env.SERVER_UNDER_TEST;
  const folder = mkdtempSync(join(tmpdir(), "natterjack-bin-"));
  const program = given ?? join(folder, "natterjack");
  if (!given) {
    const root = join(import.meta.dirname, "../../../..");
    execFileSync("go", ["build", "-o", program, "./server/cmd/natterjack"], { cwd: root, stdio: "inherit" });
  }
  project.provide("natterjack", program);
  return () => rmSync(folder, { recursive: true });
}
