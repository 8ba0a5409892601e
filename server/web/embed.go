package web

import (
	"embed"
	"io/fs"
)

// built holds what app/vite.config.ts writes to dist/app. Git keeps the folder with nothing in it but .gitignore, so that the package
// compiles without Node.
//
//go:embed all:dist
var built embed.FS

// Built returns the files of the built app; it has none if the app was not built before this binary.
func Built() fs.FS {
	files, err := fs.Sub(built, "dist/app")
	if err != nil {
		panic(err) // the path is not valid, which it is
	}
	return files
}
