import { Person } from "../harness/person.js";
import { expect, test } from "../harness/test.js";
import { entry, message, openConversation, signUp } from "../harness/ui.js";

/** Texts that have turned into something else in some program. */
const hostile = [
  `<img src=x onerror="document.title='owned'">`,
  `<script>document.title='owned'</script>`,
  `<svg/onload=alert(1)>`,
  `"><style>body{display:none}</style>`,
  `[click](javascript:document.title='owned')`,
  `javascript:document.title='owned'`,
  `data:text/html,<script>document.title='owned'</script>`,
  "`<b>code</b>` **<i>bold</i>** <u>plain</u>",
  "{{constructor.constructor('alert(1)')()}}",
  "&lt;b&gt; &amp; &#60;b&#62;",
];

test("text that tries to be HTML or a script stays text", async ({ open, server }) => {
  const page = await (await open()).tab();
  const me = await signUp(page, `<b onclick="document.title='owned'">Mallory</b>`.slice(0, 64));
  const friend = await Person.signUp(server.url, "<img src=x onerror=alert(1)>");
  const conversation = await friend.direct(me);
  for (const text of hostile) await friend.send(conversation, text);
  await openConversation(page, "<img src=x onerror=alert(1)>");
  // Marks of Markdown are all that may be missing.
  const bare = (text: string) => text.replace(/[`*]/g, "");
  for (const text of hostile) await message(page, bare(text)).first().waitFor();
  expect(await page.title()).not.toContain("owned");
  const links = await page
    .getByRole("log")
    .getByRole("link")
    .evaluateAll((all) => all.map((a) => (a as HTMLAnchorElement).href));
  expect(links.filter((href) => !/^(https?|mailto):/.test(href))).toEqual([]);
  expect(await page.getByRole("log").locator("img, script, style, iframe, object").count()).toBe(0);
});

test("links lead out safely, and direction marks turn around nothing but themselves", async ({ open, server }) => {
  const page = await (await open()).tab();
  const me = await signUp(page, "Lena");
  const friend = await Person.signUp(server.url, "שרה");
  const conversation = await friend.direct(me);
  await friend.send(conversation, "see https://example.com/path?q=1 and write to a@example.com");
  await friend.send(conversation, "\u202eevil\u202c and \u2067isolated");
  await openConversation(page, "שרה");
  const link = page.getByRole("log").getByRole("link", { name: "https://example.com/path?q=1" });
  expect(await link.getAttribute("rel")).toMatch(/noopener/);
  expect(await link.getAttribute("target")).toBe("_blank");
  await page.getByRole("log").getByRole("link", { name: "a@example.com" }).waitFor();
  // The time after an override stays readable from left to right, as it stands in an isolate of its own.
  const text = message(page, "evil").getByText("evil");
  expect(await text.evaluate((e) => getComputedStyle(e).unicodeBidi)).toMatch(/isolate|plaintext/);
  expect(await entry(page, "שרה").count()).toBe(1);
});

test("the policy forbids inline code, other origins and frames, and holds on every page", async ({ open, server }) => {
  const device = await open();
  const page = await device.context.newPage();
  for (const path of ["/", "/sign-up", "/c/unknown", "/settings"]) {
    const response = await page.goto(path);
    const policy = response?.headers()["content-security-policy"] ?? "";
    expect(policy, path).toContain("default-src 'none'");
    expect(policy, path).toContain("script-src 'self'");
    expect(policy, path).toContain("frame-ancestors 'none'");
    expect(policy, path).not.toMatch(/unsafe-(inline|eval)/);
  }
  device.tolerate(/Content.Security.Policy/i, /TrustedScript|Trusted Type/i);
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    try {
      script.text = "window.ran = true";
    } catch {
      return false; // Trusted Types forbid even to write it
    }
    document.head.append(script);
    return "ran" in window;
  });
  expect(ran).toBe(false);
  const elsewhere = await page.evaluate(
    (url) =>
      fetch(url).then(
        () => "answered",
        () => "refused",
      ),
    server.url.replace("127.0.0.1", "localhost"),
  );
  expect(elsewhere).toBe("refused");
});
