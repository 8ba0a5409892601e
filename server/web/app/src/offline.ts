/** Puts the program itself on the device, so that it starts without a network, and changes to a new version when the user says so. */

import { toast } from "./ui/toasts.ts";

/** Where the service worker is; vite.config.ts makes it of sw.js. */
const worker = "/sw.js";

/** In milliseconds: how often a page that stays open asks for a new version. */
const askEvery = 60 * 60_000;

/** Registers the service worker. Without one (plain http, private windows) everything works but the start without a network. */
export function keepShell(): void {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) {
    return;
  }
  addEventListener("load", () => {
    register().catch(() => {}); // refused: nothing that works without it is worse for that
  });
  // What is loaded later belongs to the version that the page is of; if the server has another one by now, only a reload helps.
  addEventListener("vite:preloadError", () => {
    toast("Natterjack has a new version.", { label: "Load it", run: () => location.reload() });
  });
}

async function register(): Promise<void> {
  const registration = await navigator.serviceWorker.register(trusted(worker));
  offer(registration);
  registration.addEventListener("updatefound", () => {
    registration.installing?.addEventListener("statechange", () => offer(registration));
  });
  setInterval(() => registration.update().catch(() => {}), askEvery);
}

/** Offers a version that is there and waits. The first one ever takes over by itself. */
function offer(registration: ServiceWorkerRegistration): void {
  const { waiting } = registration;
  if (waiting === null || navigator.serviceWorker.controller === null) {
    return;
  }
  toast("Natterjack has a new version.", {
    label: "Load it",
    run: () => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      waiting.postMessage({ kind: "take-over" });
    },
  });
}

interface Policies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

/** A script's address in the form that the Content-Security-Policy asks for, where the browser knows it. */
function trusted(url: string): string {
  const { trustedTypes } = window as { trustedTypes?: Policies };
  const policy = trustedTypes?.createPolicy("natterjack", {
    createScriptURL: (u) => {
      if (u !== worker) {
        throw new TypeError(`not a script of this program: ${u}`);
      }
      return u;
    },
  });
  return policy?.createScriptURL(url) ?? url;
}
