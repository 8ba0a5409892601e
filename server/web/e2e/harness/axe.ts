import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core holds against what a page shows now, as lines to read; only what keeps people out ("serious" and "critical"). */
export async function violations(page: Page): Promise<string[]> {
  // Evaluated by the debugger, whom the page's Content-Security-Policy does not bind.
  await page.evaluate(source);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, help, nodes }) =>
        nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 200)} (${node.failureSummary?.replace(/\s+/g, " ")})`),
      );
  });
}
