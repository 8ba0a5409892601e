import { act } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useContextMenu } from "../../src/conversation/useContextMenu.ts";
import { draw } from "../draw.tsx";
import { fakeChat } from "../fake.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function Place({ asked }: { asked: (at: DOMPointReadOnly) => void }) {
  return (
    <p {...useContextMenu(asked)}>
      text <a href="https://example.com">ponds</a>
    </p>
  );
}

async function open() {
  const asked = vi.fn<(at: DOMPointReadOnly) => void>();
  const { place } = await draw(fakeChat(), <Place asked={asked} />);
  const on = (type: string, more: PointerEventInit = {}, at = "p") =>
    act(async () => {
      const event = new PointerEvent(type, { bubbles: true, cancelable: true, pointerType: "touch", isPrimary: true, ...more });
      place.querySelector(at)?.dispatchEvent(event);
    });
  /** Ends a touch; the answer is whether the browser would take it for a tap. */
  const lift = async () => {
    await on("pointerup");
    const event = new Event("touchend", { bubbles: true, cancelable: true });
    await act(async () => void place.querySelector("p")?.dispatchEvent(event));
    return !event.defaultPrevented;
  };
  const wait = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
  return { asked, on, lift, wait };
}

it("a finger that rests asks for it, once it is up", async () => {
  const { asked, on, wait } = await open();
  await on("pointerdown", { clientX: 20, clientY: 30 });
  await on("pointermove", { clientX: 24, clientY: 33 });
  await wait(500);
  expect(asked).not.toHaveBeenCalled();
  await on("pointerup");
  await wait(0);
  expect(asked.mock.calls.map(([{ x, y }]) => [x, y])).toEqual([[20, 30]]);
});

it("a finger that rested does not tap as well, and the next one may", async () => {
  const { on, lift, wait } = await open();
  await on("pointerdown");
  await wait(460);
  expect(await lift()).toBe(false);
  await on("pointerdown");
  expect(await lift()).toBe(true);
});

it.each<[string, (on: Awaited<ReturnType<typeof open>>["on"]) => Promise<void>, number]>([
  ["taps", async () => {}, 200],
  ["scrolls", (on) => on("pointermove", { clientY: 40 }), 500],
  ["is taken by the browser", (on) => on("pointercancel"), 500],
])("a finger that %s does not", async (_, then, ms) => {
  const { asked, on, wait } = await open();
  await on("pointerdown");
  await then(on);
  await wait(ms);
  await on("pointerup");
  await wait(1000);
  expect(asked).not.toHaveBeenCalled();
});

it("the second button of a mouse asks for it, once it is up, but not on a link", async () => {
  const { asked, on, wait } = await open();
  await on("contextmenu", { pointerType: "mouse", buttons: 2, clientX: 5 }, "a");
  await on("pointerup", { pointerType: "mouse" });
  await wait(0);
  expect(asked).not.toHaveBeenCalled();
  await on("contextmenu", { pointerType: "mouse", buttons: 2, clientX: 5 });
  await wait(0);
  expect(asked).not.toHaveBeenCalled();
  await on("pointerup", { pointerType: "mouse" });
  await wait(0);
  expect(asked).toHaveBeenCalledOnce();
});

it("the key for it asks for it at once", async () => {
  const { asked, on, wait } = await open();
  await on("contextmenu", { pointerType: "", buttons: 0 });
  await wait(0);
  expect(asked).toHaveBeenCalledOnce();
});
