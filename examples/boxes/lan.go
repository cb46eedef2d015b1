package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/web"
)

const inviteGood = 12 * time.Hour

// A lan lets players in by links to a page that is a file on their machines, as in a house without a
// web server. Each link has an invite, which is good for one session. With it the page gets another invite,
// for its next session: so the player can load the page again, and leave and play again.
type lan struct {
	server *godwit.Server
	out    io.Writer
	page   string // URL of the page
	guests int    // players so far
}

// newLAN writes the page to a file, and prints the first link to out.
func newLAN(server *godwit.Server, file string, out io.Writer) (*lan, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	page, err := onePage()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, page, 0o644); err != nil {
		return nil, err
	}
	path = "/" + strings.TrimPrefix(filepath.ToSlash(path), "/") // Windows has no first slash
	l := &lan{server: server, out: out, page: (&url.URL{Scheme: "file", Path: path}).String()}
	fmt.Fprintf(out, "each link lets one player in; on another machine, copy %s there and put the # and all after it behind its address\n", file)
	return l, l.invite()
}

// invite prints a link for one more player.
func (l *lan) invite() error {
	l.guests++
	i, err := l.server.Invite(auth.InviteClaims{Subject: fmt.Sprint("guest ", l.guests), For: inviteGood})
	if err == nil {
		fmt.Fprintf(l.out, "%s#%s\n", l.page, i.Text())
	}
	return err
}

// again returns an invite for the next session of a player who has come by a link, and "" for others.
func (l *lan) again(c *godwit.Conn) string {
	name := c.Identity().Name
	if name == "" {
		return "" // the page has the URL of the server
	}
	i, err := l.server.Invite(auth.InviteClaims{Subject: name, For: inviteGood})
	if err != nil {
		fmt.Fprintln(os.Stderr, "boxes:", err)
		return ""
	}
	return i.Text()
}

// opened prints another link when a player has used the last one. A player that comes again has used an older one.
func (l *lan) opened(c *godwit.Conn) {
	if c.Identity().Name != fmt.Sprint("guest ", l.guests) {
		return
	}
	if err := l.invite(); err != nil {
		fmt.Fprintln(os.Stderr, "boxes:", err)
	}
}

// onePage returns index.html with its scripts in it: a page of file: cannot load modules.
func onePage() ([]byte, error) {
	client, err1 := fs.ReadFile(web.Files(), "godwit.classic.min.js")
	index, err2 := fs.ReadFile(pages, "index.html")
	table, err3 := fs.ReadFile(pages, "table.js")
	parts, err4 := fs.ReadFile(web.Files(), "godwit.game.js")
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	script, _, _ := strings.Cut(string(client), "//# sourceMappingURL=")
	parts, _, _ = bytes.Cut(parts, []byte("\nexport {")) // its last statement
	page := string(index)
	for old, text := range map[string]string{
		`<script type="module">`:                                                 "<script>\n" + script + "</script>\n<script type=\"module\">",
		`import { sessions } from "/godwit/godwit.types.js";`:                    "const { sessions } = godwit.types;",
		`import { Clock, Prediction, Snapshots } from "/godwit/godwit.game.js";`: string(parts),
		`import { table } from "./table.js"; // from messages.go`:                strings.Replace(string(table), "export const table", "const table", 1),
	} {
		if strings.Count(page, old) != 1 {
			return nil, errors.New("index.html has changed: it has no " + old)
		}
		page = strings.Replace(page, old, text, 1)
	}
	return []byte(page), nil
}
