import type { Chat, ChatError, FoundMessage, Page } from "@natterjack/client";
import { act, useState } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import Auth from "../src/auth/Auth.tsx";
import { ConnectionBanner } from "../src/ConnectionBanner.tsx";
import { explain, useObservable } from "../src/chat.ts";
import { useSearch } from "../src/list/useSearch.ts";
import { startNotifying } from "../src/notify.ts";
import { Title } from "../src/Title.tsx";
import { draw, write } from "./draw.tsx";
import { conversation, fakeChat, message } from "./fake.ts";

vi.mock("@natterjack/client", () => ({ isChatError: (e: unknown) => e instanceof Error && "code" in e }));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const pass = (milliseconds: number) => act(() => vi.advanceTimersByTimeAsync(milliseconds));

function failure(change: Partial<ChatError>): ChatError {
  return Object.assign(new Error(change.message ?? "it is refused"), {
    code: "invalid_argument",
    reason: "",
    field: "",
    ...change,
  });
}

describe("the connection's banner", () => {
  it("says nothing of a connection that is back soon", async () => {
    const chat = fakeChat({ connection: { status: "connecting" } });
    const { place } = await draw(chat, <ConnectionBanner />);
    await pass(2000);
    expect(place.textContent).toBe("");
    await act(async () => chat.connection.set({ status: "live", over: "websocket" }));
    await act(async () => chat.connection.set({ status: "connecting" }));
    await pass(2000);
    expect(place.textContent).toBe("");
  });

  it("says what waits, offers to try, and is gone at once when it is over", async () => {
    const chat = fakeChat({ connection: { status: "waiting", retryTime: 0, attempt: 1 }, waiting: 2 });
    const { place } = await draw(chat, <ConnectionBanner />);
    await pass(3000);
    expect(place.textContent).toContain("2 messages wait to be sent");
    await act(async () => place.querySelector("button")?.click());
    expect(chat.calls).toContainEqual(["reconnect"]);
    await act(async () => chat.connection.set({ status: "live", over: "websocket" }));
    expect(place.textContent).toBe("");
  });
});

describe("a browser that stores nothing", () => {
  it("is told of while nothing more urgent is", async () => {
    const chat = fakeChat();
    const { place } = await draw(chat, <ConnectionBanner />);
    expect(place.textContent).toBe("");
    await act(async () => chat.keeps.set(false));
    expect(place.textContent).toContain("stores nothing");
    await act(async () => chat.connection.set({ status: "offline" }));
    await pass(3000);
    expect(place.textContent).toBe("You are offline.");
  });
});

describe("a connection that was ended for good", () => {
  it("is told of, and can be asked for again", async () => {
    const chat = fakeChat({ connection: { status: "stopped" } });
    const { place } = await draw(chat, <ConnectionBanner />);
    await pass(3000);
    expect(place.textContent).toContain("Not connected");
    await act(async () => place.querySelector("button")?.click());
    expect(chat.calls).toContainEqual(["reconnect"]);
  });
});

function TitleOfAccount({ chat }: { chat: Chat }) {
  return useObservable(chat.account).status === "signed-in" && <Title open="c1" />;
}

describe("when somebody signs out", () => {
  it("leaves nothing in the tab's name", async () => {
    const chat = fakeChat({ conversations: [conversation("c1", "Bob", { unread: 3 })] });
    await draw(chat, <TitleOfAccount chat={chat} />);
    expect(document.title).toBe("(3) Bob · Natterjack");
    await act(async () => chat.account.set({ status: "signed-out" }));
    expect(document.title).toBe("Natterjack");
  });

  it("closes the notices that are still shown", async () => {
    const close = vi.fn();
    const registration = { getNotifications: async () => [{ close }, { close }] };
    vi.stubGlobal("navigator", { serviceWorker: { addEventListener: () => {}, getRegistration: async () => registration } });
    const chat = fakeChat();
    startNotifying(chat);
    chat.account.set({ status: "loading" });
    await pass(0);
    expect(close).not.toHaveBeenCalled();
    chat.account.set({ status: "signed-out" });
    await pass(0);
    expect(close).toHaveBeenCalledTimes(2);
    vi.unstubAllGlobals();
  });
});

describe("signing up", () => {
  it.each([
    ["a name that is taken", { reason: "USERNAME_TAKEN" }, "Username"],
    ["a field that the server names", { field: "password", message: "too short" }, "Password"],
    ["the shown name", { field: "display_name", message: "not shown" }, "Shown name"],
  ])("puts %s beside its field", async (_, error, label) => {
    history.replaceState(null, "", "/sign-up");
    const chat = fakeChat({ account: undefined });
    chat.signUp = () => Promise.reject(failure(error));
    const { place } = await draw(chat, <Auth reason={undefined} />);
    await write(place.querySelector("[name=username]") as HTMLInputElement, "ada");
    await write(place.querySelector("[name=password]") as HTMLInputElement, "correct horse");
    await act(async () => place.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true })));
    const [wrong, ...others] = place.querySelectorAll("input[aria-invalid=true]");
    expect(others).toEqual([]);
    expect(place.querySelector(`label[for="${wrong?.id}"]`)?.textContent).toContain(label);
    expect(document.getElementById(wrong?.getAttribute("aria-describedby") ?? "")?.textContent).not.toBe("");
  });
});

/** Shows what is found for what is typed. */
function Results({ query }: { query: string }) {
  const found = useSearch(query);
  return (
    <>
      {found.messages.map((m) => m.message.content).join()}
      {found.pending && "…"}
      {found.error}
    </>
  );
}

/** The same for a query that changes; `typed` is given the way to change it. */
function Search({ typed }: { typed: (type: (query: string) => void) => void }) {
  const [query, setQuery] = useState("p");
  typed(setQuery);
  return <Results query={query} />;
}

describe("searching", () => {
  it("asks once for what is typed without a pause, and drops answers to what is no longer asked", async () => {
    const answers: Record<string, (page: Page<FoundMessage>) => void> = {};
    const chat = fakeChat();
    chat.searchMessages = (query) => new Promise((resolve) => Object.assign(answers, { [query]: resolve }));
    const page = (text: string) => ({ items: [{ message: message(text), conversationId: "c1" }] });
    let type: (query: string) => void = () => {};
    const { place } = await draw(
      chat,
      <Search
        typed={(t) => {
          type = t;
        }}
      />,
    );
    await act(async () => type("po"));
    await pass(250);
    expect(Object.keys(answers)).toEqual(["po*"]);
    await act(async () => type("pond"));
    await pass(250);
    await act(async () => answers["pond*"]?.(page("of the pond")));
    await act(async () => answers["po*"]?.(page("of the postman")));
    expect(place.textContent).toBe("of the pond");
  });

  it("says why it did not work", async () => {
    const chat = fakeChat();
    chat.searchUsers = () => Promise.reject(failure({ code: "network" }));
    const { place } = await draw(chat, <Results query="x" />);
    await pass(250);
    expect(place.textContent).toContain("could not be reached");
  });
});

describe("what went wrong", () => {
  it("is told in a sentence", () => {
    expect(explain(failure({ message: "you are no member" }))).toBe("You are no member.");
    expect(explain(failure({ field: "title", message: "title: value length must be at most 128" }))).toMatch(
      /^128 characters at most/,
    );
    expect(explain(failure({ message: "Really?" }))).toBe("Really?");
    expect(explain(new TypeError("x is undefined"))).toBe("Something went wrong. Please try again.");
  });
});
