import "./styles/tokens.css";
import "./styles/base.css";
import { createChat } from "@natterjack/client";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.tsx";
import { watchKeyboard } from "./keyboard.ts";
import { startNotifying } from "./notify.ts";
import { keepShell } from "./offline.ts";
import { paintBrowser } from "./settings/theme.ts";

const root = document.getElementById("root");
if (root === null) {
  throw new Error("index.html has no #root");
}
const chat = createChat();
startNotifying(chat);
keepShell();
paintBrowser();
watchKeyboard();
createRoot(root).render(
  <StrictMode>
    <App chat={chat} />
  </StrictMode>,
);
