import entries from "emojibase-data/en/data.json";
import { describe, expect, it } from "vitest";
import { emojiDataOf, newestDrawn } from "../../src/conversation/emojiData.ts";

describe("the emoji of a device", () => {
  it("end with the newest version that it draws", () => {
    const versions = [...new Set(entries.filter((entry) => "group" in entry).map((entry) => entry.version))].sort(
      (a, b) => b - a,
    );
    const [first = 0, second = 0] = versions;
    const ofFirst = new Set(entries.filter((entry) => entry.version === first).map((entry) => entry.emoji));
    expect(newestDrawn(entries, () => true)).toBe(first);
    expect(newestDrawn(entries, (emoji) => !ofFirst.has(emoji))).toBe(second);
    expect(newestDrawn(entries, () => false)).toBe(0);
  });

  it("have names, categories that exist, and all skin tones or none", () => {
    const data = emojiDataOf("en", entries, 15);
    const categories = new Set(data.categories.map((category) => category.index));
    expect(data.emojis.length).toBeGreaterThan(1500);
    expect(data.emojis.every((emoji) => emoji.label !== "" && categories.has(emoji.category) && emoji.version <= 15)).toBe(true);
    expect(data.emojis.find((emoji) => emoji.emoji === "👍️" || emoji.emoji === "👍")?.skins).toMatchObject({
      light: "👍🏻",
      dark: "👍🏿",
    });
    expect(Object.keys(data.skinTones).sort()).toEqual(["dark", "light", "medium", "medium-dark", "medium-light"]);
  });
});
