import { act, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { onTestFinished } from "vitest";
import { ChatContext } from "../src/chat.ts";
import type { FakeChat } from "./fake.ts";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

/** Draws a component for the length of a test; `again` draws it with something else in its place. */
export async function draw(chat: FakeChat, node: ReactNode) {
  const place = document.body.appendChild(document.createElement("div"));
  const root = createRoot(place);
  const again = (next: ReactNode) => act(async () => root.render(<ChatContext value={chat}>{next}</ChatContext>));
  onTestFinished(async () => {
    await act(async () => root.unmount());
    place.remove();
  });
  await again(node);
  return { place, again };
}

/** The element with this name, as people find it: by its label or its text. */
export function named<E extends HTMLElement = HTMLElement>(place: ParentNode, selector: string, name: string | RegExp): E {
  const found = [...place.querySelectorAll<E>(selector)].find((element) => {
    const is = element.getAttribute("aria-label") ?? element.textContent ?? "";
    return typeof name === "string" ? is === name : name.test(is);
  });
  if (found === undefined) throw new Error(`no ${selector} named ${name} in ${place.textContent}`);
  return found;
}

/** Presses a key; the answer is whether the browser would go on with what it does by itself. */
export async function press(element: Element, key: string, more: KeyboardEventInit = {}): Promise<boolean> {
  let goesOn = true;
  await act(async () => {
    goesOn = element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  });
  return goesOn;
}

export async function click(element: Element): Promise<void> {
  await act(async () => void element.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true })));
}

/** Puts a text into a field, as if it had been written. */
export async function write(field: HTMLTextAreaElement | HTMLInputElement, text: string): Promise<void> {
  await act(async () => {
    // Past React's own property, which is how it tells a change by the user from its own.
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value")?.set?.call(field, text);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
}
