// Package web is the web client inside the server: the files that `npm run build` made of app/, and how a browser gets them.
//
// The files are embedded, with their compressed twins, so that a binary is all there is to install. Where the app was not built before
// the binary, browsers get a page that says so.
//
// Beside the package are three of TypeScript: client/ is the client for any program (client/README.md); app/ draws what it tells; e2e/
// holds both to their promises in a browser. In app/src an address (paths.ts) leads to panes (Shell.tsx): list/, conversation/, group/ for
// details, settings/, or auth/ for somebody who is not signed in. They read the client by the hooks of chat.ts, and are made of the controls
// of ui/ and the tokens of styles/. sw.js starts the app without a network and shows notifications; build.ts says how the build goes beyond
// Vite's.
package web
