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

// Files returns the built client: godwit.js; godwit.min.js, and godwit.keep.min.js for
// sessions that outlive their page, with their maps; and the declarations godwit.d.ts.
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

// A file is one of dist, as it is and compressed.
type file struct {
	plain, small []byte
	tag          string
}

// files are those of dist by name. They are compressed once, when the first is asked
// for.
var files = sync.OnceValue(func() map[string]file {
	all := make(map[string]file)
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // the path is ours
	}
	for _, e := range entries {
		b, err := dist.ReadFile("dist/" + e.Name())
		if err != nil {
			panic(err)
		}
		var small bytes.Buffer
		z, _ := gzip.NewWriterLevel(&small, gzip.BestCompression)
		z.Write(b) // a Buffer takes all
		z.Close()
		all[e.Name()] = file{b, small.Bytes(), tag(b)}
	}
	return all
})

// Handler returns a handler that serves the files of dist by the last part of the
// path: the script as godwit.js, and the small one as godwit.min.js, compressed for
// who takes that. Pages of any origin may load them. It answers GET and HEAD.
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
		h.Set("Cache-Control", "no-cache") // asks each time, and gets 304
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

// takesGzip reports whether the client names gzip among the codings it takes, and
// does not refuse it by a weight of zero.
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

// tag names content by its FNV-1a hash.
func tag(b []byte) string {
	h := uint64(0xcbf29ce484222325)
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return strconv.FormatUint(h, 16)
}
