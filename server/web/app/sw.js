// The service worker: it starts the program without a network, and shows notifications. It never touches what is said: the client keeps that itself.
// The build puts in what the program consists of, under a name that changes with any of it.
const version = "__VERSION__";
const shell = __SHELL__;

// The addresses of src/paths.ts, all of which begin with the same page. Others of this server are none of the program's business.
const page = /^\/(c\/.*|settings|sign-in|sign-up)?$/;

const cacheName = `shell-${version}`;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(cacheName).then((cache) => cache.addAll(shell)));
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("shell-") && name !== cacheName;
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) {
    return;
  }
  if (request.mode === "navigate" && page.test(url.pathname)) {
    event.respondWith(fromCache("/index.html").then((kept) => kept ?? fetch(request)));
  } else if (shell.includes(url.pathname) || url.pathname.startsWith("/assets/")) {
    event.respondWith(asset(request));
  }
});

async function fromCache(key) {
  const cache = await caches.open(cacheName);
  return cache.match(key);
}

// What is not part of the shell, such as the names of emoji, is kept when it is first used.
async function asset(request) {
  const kept = await fromCache(request);
  if (kept !== undefined) {
    return kept;
  }
  const response = await fetch(request);
  if (response.ok) {
    const cache = await caches.open(cacheName);
    await cache.put(request, response.clone());
  }
  return response;
}

self.addEventListener("message", (event) => {
  switch (event.data?.kind) {
    case "take-over":
      self.skipWaiting();
      break;
    case "notice":
      event.waitUntil(notify(event.data));
      break;
  }
});

async function notify({ title, body, tag, path }) {
  const windows = await self.clients.matchAll({ type: "window" });
  if (!windows.some((w) => w.visibilityState === "visible")) {
    await self.registration.showNotification(title, {
      body,
      tag,
      renotify: true,
      icon: "/icon-192.png",
      badge: "/badge.png",
      data: { path },
    });
  }
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(show(event.notification.data.path));
});

// Uses a window that is there: it is told where to go rather than loaded anew, so that what was being written stays.
async function show(path) {
  const [first] = await self.clients.matchAll({ type: "window" });
  if (first === undefined) {
    await self.clients.openWindow(path);
    return;
  }
  first.postMessage({ kind: "open", path });
  await first.focus();
}
