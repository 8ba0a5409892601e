// Package web is the web client inside the server: the files that `npm run build` made of app/, and how a browser gets them.
//
// The files are embedded, with their compressed twins, so that a binary is all there is to install. Where the app was not built before
// the binary, browsers get a page that says so. The TypeScript beside this package is described in client/README.md and app/.
package web
