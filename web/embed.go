// Package web hands the built browser client to Go programs, so that a server
// serves it and nobody needs npm.
//
// [Handler] serves /godwit.js and what belongs to it. The TypeScript source is in
// src/, its tests in test/; npm run build makes dist/.
//
// It is not a web framework, and nothing in it knows of a connection.
package web

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"time"
)

//go:embed dist
var dist embed.FS

// Files returns the built client: godwit.js, godwit.min.js with its map, and the
// declarations godwit.d.ts.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the path is ours
	}
	return files
}

// types are the kinds of files in dist, which a system's own table may call
// otherwise.
var types = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".ts":  "text/plain; charset=utf-8",
	".map": "application/json",
}

// Handler returns a handler that serves the files of dist by the last part of the
// path: the script as godwit.js, and the small one as godwit.min.js. Pages of any
// origin may load them.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		b, err := dist.ReadFile("dist/" + name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", types[path.Ext(name)])
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cache-Control", "no-cache") // asks each time, and gets 304
		h.Set("ETag", etag(b))
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
	})
}

// etag names content by its FNV-1a hash.
func etag(b []byte) string {
	h := uint64(0xcbf29ce484222325)
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return `"` + strconv.FormatUint(h, 16) + `"`
}
