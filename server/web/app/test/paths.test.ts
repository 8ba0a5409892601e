import { describe, expect, it } from "vitest";
import { paths, readPlace } from "../src/paths.ts";
import worker from "../sw.js?raw";

describe("addresses", () => {
  it.each(["c1", "a/b", "ä ö?&#%", "x".repeat(32)])("leads back to the conversation %s that it was made for", (id) => {
    const at = new URL(paths.conversation(id, 7), "http://x");
    expect(readPlace(at.pathname, at.search)).toEqual({ view: "conversation", id, at: 7 });
    expect(readPlace(new URL(paths.conversation(id), "http://x").pathname)).toEqual({ view: "conversation", id });
    expect(readPlace(new URL(paths.details(id), "http://x").pathname)).toEqual({ view: "details", id });
  });

  it.each([
    ["/", "list"],
    ["/settings", "settings"],
    ["/settings/", "settings"],
    ["/sign-in", "sign-in"],
    ["/sign-up", "sign-up"],
    ["/c/", "nowhere"],
    ["/c/%", "nowhere"],
    ["/c/x/y", "nowhere"],
    ["/other", "nowhere"],
  ])("reads %s as %s", (path, view) => {
    expect(readPlace(path)).toEqual({ view });
  });

  it.each(["0", "-1", "1.5", "x", "", "9007199254740993"])("passes over a place %s that no message can have", (at) => {
    expect(readPlace("/c/x", `?at=${at}`)).toEqual({ view: "conversation", id: "x" });
  });

  it("all start without a network", () => {
    const [, source = ""] = /const page = \/(.+)\/;/.exec(worker) ?? [];
    const page = new RegExp(source);
    for (const path of [paths.list, paths.settings, paths.signIn, paths.signUp, paths.conversation("x"), paths.details("x")]) {
      expect(path).toMatch(page);
    }
    expect("/readyz").not.toMatch(page);
  });
});
