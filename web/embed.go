// Package web contains the built browser client for Go programs, so that a server can serve
// it without npm.
//
// [Handler] serves godwit.js and the other files of the client. The TypeScript source is in
// src/, its tests are in test/; npm run build makes dist/.
//
// The package is not a web framework, and knows nothing of connections.
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed dist
var dist embed.FS

// Files returns the files of the built client: godwit.js; godwit.min.js; godwit.keep.min.js,
// for sessions that continue when the page is loaded again; godwit.webtransport.min.js, which
// adds WebTransport to each of them; godwit.worker.min.js, with which each of them runs in a
// Web Worker; godwit.types.js and godwit.types.min.js, for typed messages,
// which load godwit.js and godwit.min.js; godwit.game.js and godwit.game.min.js, the client side of
// package game; godwit.classic.min.js, a script that is no module and sets
// the global godwit to all of this, for pages of file:; the source maps of the minified files; and
// the type declarations, of which godwit.d.ts is for all but those of WebTransport, workers, types
// and game.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // dist is embedded
	}
	return files
}

// types are the media types of the files in dist. The system's table may have other ones.
var types = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".ts":  "text/plain; charset=utf-8",
	".map": "application/json",
}

// A file is a file of dist, plain and compressed.
type file struct {
	plain, small []byte
	tag          string
}

// files are the files of dist by name. The first call compresses all of them.
var files = sync.OnceValue(func() map[string]file {
	all := make(map[string]file)
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // dist is embedded
	}
	for _, e := range entries {
		b, err := dist.ReadFile("dist/" + e.Name())
		if err != nil {
			panic(err)
		}
		var small bytes.Buffer
		z, _ := gzip.NewWriterLevel(&small, gzip.BestCompression)
		z.Write(b) // never fails for a bytes.Buffer
		z.Close()
		all[e.Name()] = file{b, small.Bytes(), tag(b)}
	}
	return all
})

// Handler returns a handler that serves the files of Files by the last part of the path, for
// example /any/path/godwit.min.js. The response is compressed if the client accepts gzip.
// Pages of any origin may load the files. The handler answers GET and HEAD.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		name := path.Base(r.URL.Path)
		f, ok := files()[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", types[path.Ext(name)])
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cache-Control", "no-cache") // the browser asks each time, and gets 304
		h.Set("Vary", "Accept-Encoding")
		content, form := f.plain, ""
		if takesGzip(r) {
			content, form = f.small, "-gzip"
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("ETag", `"`+f.tag+form+`"`)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

// takesGzip reports whether the client accepts gzip: Accept-Encoding names it with a weight
// other than zero.
// https://www.rfc-editor.org/rfc/rfc9110.html#section-12.5.3
func takesGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(coding, ";")
		_, q, _ := strings.Cut(weight, "=")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(q, " 0.") != "" || strings.TrimSpace(weight) == ""
		}
	}
	return false
}

// tag returns the FNV-1a hash of content, for an ETag.
func tag(b []byte) string {
	h := uint64(0xcbf29ce484222325)
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return strconv.FormatUint(h, 16)
}
