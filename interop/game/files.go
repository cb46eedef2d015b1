//go:build linux

package game

import (
	_ "embed"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/godwit-rtc/godwit/web"
)

//go:embed page.js
var page []byte

const index = `<!doctype html>
<meta charset="utf-8">
<title>a small game</title>
<link rel="icon" href="data:,">
<script src="/page.js"></script>
`

// WriteFiles writes the page of the game into a directory, with the libraries of all servers that are installed. A
// page of any server can load them.
func WriteFiles(dir string) error {
	all := map[string][]byte{"index.html": []byte(index), "page.js": page}
	for _, name := range []string{"godwit.min.js", "godwit.webtransport.min.js"} {
		b, err := fs.ReadFile(web.Files(), name)
		if err != nil {
			return err
		}
		all[name] = b
	}
	for _, name := range []string{"socket.io/client-dist/socket.io.esm.min.js", "@colyseus/sdk/dist/colyseus.js"} {
		if b, err := os.ReadFile(filepath.Join(nodeDir(), "node_modules", name)); err == nil {
			all[filepath.Base(name)] = b
		}
	}
	for name, b := range all {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
