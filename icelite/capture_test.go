package icelite

import (
	"slices"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A capture holds the checks that a browser sent in one connection; testdata/README.md
// describes its format.
type capture struct {
	config Config
	checks []capturedCheck
}

type capturedCheck struct {
	nominating bool
	datagram   []byte
}

// captures reads the files of all browsers.
func captures(t testing.TB) map[string]capture {
	t.Helper()
	all := make(map[string]capture)
	for name, lines := range testkit.Captures(t) {
		var c capture
		for _, f := range lines {
			switch f[0] {
			case "local":
				c.config.Local = Credentials{f[1], f[2]}
			case "remote":
				c.config.Remote = Credentials{f[1], f[2]}
			default:
				c.checks = append(c.checks, capturedCheck{f[0] == "nominating", testkit.Hex(t, f[1])})
			}
		}
		all[name] = c
	}
	return all
}

func TestChecksOfBrowsers(t *testing.T) {
	for name, c := range captures(t) {
		t.Run(name, func(t *testing.T) {
			a := newTestAgentWith(t, c.config)
			for i, check := range c.checks {
				drop, v := a.deliver(home, server, check.datagram)
				if drop != DropNone || !v.Granted() {
					t.Fatalf("check %d: drop %q, verdict %q; want no drop, and a granted check", i, drop, v)
				}
				if string(a.r.LocalUfrag()) != c.config.Local.Ufrag || string(a.r.RemoteUfrag()) != c.config.Remote.Ufrag {
					t.Errorf("check %d: its username fragments are %q and %q, want %q and %q", i, a.r.LocalUfrag(), a.r.RemoteUfrag(), c.config.Local.Ufrag, c.config.Remote.Ufrag)
				}
				if a.r.UseCandidate() != check.nominating {
					t.Errorf("check %d: nominating %v, want %v", i, a.r.UseCandidate(), check.nominating)
				}
				if len(a.answer) == 0 || len(a.answer) > len(check.datagram) {
					t.Errorf("check %d: an answer of %d bytes for a check of %d, want an answer that is not longer", i, len(a.answer), len(check.datagram))
				}
			}
			if p, ok := a.Selected(); !ok || p.Remote != home {
				t.Errorf("selected %v (%v), want %v", p.Remote, ok, home)
			}
		})
	}
}

// A check with one changed byte is not granted.
func TestChecksOfBrowsersDamaged(t *testing.T) {
	for name, c := range captures(t) {
		b := clip(c.checks[0].datagram)
		for i := range b {
			b[i] ^= 1
			if drop, v := newTestAgentWith(t, c.config).deliver(home, server, b); drop == DropNone && v.Granted() {
				t.Errorf("%s: the check is granted with byte %d changed", name, i)
			}
			b[i] ^= 1
		}
	}
}

// Any one check may be lost, duplicated, or swapped with the next one: the page is selected
// nevertheless, and each check that arrives is answered.
func TestChecksOfBrowsersWithAnyOneDamaged(t *testing.T) {
	harms := map[string]func(all []capturedCheck, i int) []capturedCheck{
		"lost": func(all []capturedCheck, i int) []capturedCheck { // and the next one arrives
			lost := all[i]
			return append(slices.Delete(all, i, i+1), lost)
		},
		"doubled": func(all []capturedCheck, i int) []capturedCheck { return slices.Insert(all, i, all[i]) },
		"swapped": func(all []capturedCheck, i int) []capturedCheck {
			j := min(i+1, len(all)-1)
			all[i], all[j] = all[j], all[i]
			return all
		},
	}
	for name, c := range captures(t) {
		for harm, damage := range harms {
			for i := range c.checks {
				a := newTestAgentWith(t, c.config)
				for _, check := range damage(slices.Clone(c.checks), i) {
					if drop, v := a.deliver(home, server, check.datagram); drop != DropNone || !v.Granted() || len(a.answer) == 0 {
						t.Errorf("%s, check %d is %s: drop %q, verdict %q, %d bytes of answer; want a granted check", name, i, harm, drop, v, len(a.answer))
					}
				}
				if p, ok := a.Selected(); !ok || p.Remote != home {
					t.Errorf("%s, check %d is %s: selected %v (%v), want %v", name, i, harm, p.Remote, ok, home)
				}
			}
		}
	}
}
