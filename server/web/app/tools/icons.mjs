/**
 * Makes the icons of public/ from icon.svg: `npm run icons`. They are committed, since making them takes a browser, and they change with the mark only.
 * The browser is Chromium: from the variable CHROMIUM, or /usr/bin/chromium.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { chromium } from "playwright-core";

const out = new URL("../public/", import.meta.url);
const mark = readFileSync(new URL("icon.svg", out), "utf8");
/** The mark in one colour: eyes, stripe and mouth are holes. */
const stencil = mark
  .replace(/#2f7d4a/g, "#fff")
  .replace(/#(f2cf4b|14301d)/g, "#000")
  .replace(
    /(<svg[^>]*>)(.*)<\/svg>/s,
    '$1<mask id="holes">$2</mask><path fill="#fff" mask="url(#holes)" d="M0 0h64v64H0z"/></svg>',
  );

/** `part` is how much of the width the mark takes. Systems cut maskable icons down to a circle of 80 per cent. */
const icons = [
  { name: "icon-192.png", size: 192, part: 0.94, ground: "transparent", svg: mark },
  { name: "icon-512.png", size: 512, part: 0.94, ground: "transparent", svg: mark },
  { name: "icon-180.png", size: 180, part: 0.72, ground: "#eef4ea", svg: mark },
  { name: "icon-maskable-512.png", size: 512, part: 0.6, ground: "#eef4ea", svg: mark },
  { name: "badge.png", size: 96, part: 0.94, ground: "transparent", svg: stencil },
];

const browser = await chromium.launch({ args: ["--no-sandbox"], executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium" });
for (const { name, size, part, ground, svg } of icons) {
  const page = await browser.newPage({ viewport: { width: size, height: size } });
  const image = `data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}`;
  await page.setContent(
    `<body style="margin:0;display:grid;place-items:center;height:100vh;background:${ground}"><img width="${size * part}" src="${image}"></body>`,
  );
  await page.locator("img").evaluate((image) => image.decode());
  writeFileSync(new URL(name, out), await page.screenshot({ omitBackground: true }));
  await page.close();
}
await browser.close();
