import { act, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { onTestFinished } from "vitest";
import { ChatContext } from "../src/chat.ts";
import type { FakeChat } from "./fake.ts";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

/** Draws something with a chat until the test has finished. */
export async function draw(chat: FakeChat, what: ReactNode): Promise<HTMLElement> {
  const place = document.createElement("div");
  document.body.append(place);
  const root = createRoot(place);
  await act(async () => root.render(<ChatContext value={chat}>{what}</ChatContext>));
  onTestFinished(async () => {
    await act(async () => root.unmount());
    place.remove();
  });
  return place;
}

/** Writes into a field as a user does. */
export async function write(field: Element | null, text: string): Promise<void> {
  const input = field as HTMLInputElement;
  await act(async () => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")?.set?.call(input, text);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
}
