package dtls

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A capture is the beginning of a connection with a browser; testdata/README.md
// tells its format.
type capture struct {
	keys         *Keys
	browserFirst bool     // the browser is the DTLS client
	page, godwit [][]byte // datagrams of either side
}

// captures reads the files of all browsers.
func captures(t testing.TB) map[string]capture {
	t.Helper()
	all := make(map[string]capture)
	for name, lines := range testkit.Captures(t) {
		c := capture{browserFirst: strings.HasSuffix(name, "-client.hex")}
		for _, f := range lines {
			var args [][]byte
			for _, v := range f[1:] {
				args = append(args, testkit.Hex(t, v))
			}
			switch f[0] {
			case "keys":
				suite := testkit.Must(strconv.ParseUint(f[1], 16, 16))
				c.keys = testkit.Must(DeriveKeys(Suite(suite), args[3], args[1], args[2]))
			case "page":
				c.page = append(c.page, args[0])
			case "godwit":
				c.godwit = append(c.godwit, args[0])
			}
		}
		all[name] = c
	}
	return all
}

func (c *capture) conns() (page, godwit *Conn) {
	page, godwit = new(Conn), new(Conn)
	page.Init(c.keys, c.browserFirst, FirstRecord)
	godwit.Init(c.keys, !c.browserFirst, FirstRecord)
	page.Done()
	godwit.Done()
	return page, godwit
}

// Records of browsers can be opened, and so can the records that were sealed for browsers.
func TestRecordsOfBrowsers(t *testing.T) {
	for name, c := range captures(t) {
		t.Run(name, func(t *testing.T) {
			page, godwit := c.conns()
			for who, opened := range map[*Conn][][]byte{godwit: c.page, page: c.godwit} {
				types := make(map[ContentType]int)
				for _, d := range opened {
					for r := range Records(bytes.Clone(d)) {
						if r.Epoch == 0 {
							continue
						}
						plain, typ, drop := who.Open(r.Raw)
						if drop != DropNone {
							t.Fatalf("record %d is dropped: %v", r.Number, drop)
						}
						const finished = 20
						if typ == TypeHandshake && (len(plain) != fragmentHeaderLen+12 || plain[0] != finished) {
							t.Errorf("the Finished is %x, want %d bytes of type %d", plain, fragmentHeaderLen+12, finished)
						}
						types[typ]++
					}
				}
				if types[TypeHandshake] != 1 || types[TypeApplicationData] == 0 {
					t.Errorf("records %v, want one Finished and data", types)
				}
			}
		})
	}
}

// pion gets the whole flights of a browser, and nothing else.
func TestSieveHandshakesOfBrowsers(t *testing.T) {
	for name, c := range captures(t) {
		t.Run(name, func(t *testing.T) {
			var s Sieve
			var got []string
			data := 0
			for _, d := range c.page {
				for r := range Records(d) {
					if r.Type == TypeApplicationData {
						data++
					}
				}
				got = append(got, pieces(s.Append(clock.now(), nil, d))...)
			}
			if n := len(got); n < 4 || !slices.Equal(got[n-2:], []string{"ccs", "finished"}) {
				t.Errorf("pion sees %v, want messages, ccs and finished", got)
			}
			for i := range s.messages[:s.last+1] {
				if !s.messages[i].complete() {
					t.Errorf("message %d is not complete", i)
				}
			}
			early := 0
			for range s.Early() {
				early++
			}
			if early != data {
				t.Errorf("%d records wait, want %d", early, data)
			}
		})
	}
}

// Any one datagram of a browser's flights may be lost and arrive again later, be duplicated, or
// be swapped with the next one: pion gets the whole flights, each byte at least once, and the
// Finished after them.
func TestSieveHandshakesOfBrowsersWithAnyOneDamaged(t *testing.T) {
	harms := map[string]func(all [][]byte, i int) [][]byte{
		"lost": func(all [][]byte, i int) [][]byte { // and sent again
			lost := all[i]
			return append(slices.Delete(all, i, i+1), lost)
		},
		"doubled": func(all [][]byte, i int) [][]byte { return slices.Insert(all, i, all[i]) },
		"swapped": func(all [][]byte, i int) [][]byte {
			j := min(i+1, len(all)-1)
			all[i], all[j] = all[j], all[i]
			return all
		},
	}
	for name, c := range captures(t) {
		for harm, damage := range harms {
			for i := range c.page {
				var s Sieve
				var got []string
				for _, d := range damage(slices.Clone(c.page), i) {
					got = append(got, pieces(s.Append(clock.now(), nil, d))...)
				}
				ccs := slices.Index(got, "ccs")
				if n := len(got); ccs < 0 || ccs != n-2 && harm != "doubled" || got[n-1] != "finished" {
					t.Errorf("%s, datagram %d %s: pion gets %v", name, i, harm, got)
				}
				for m := range s.messages[:s.last+1] {
					if !s.messages[m].complete() {
						t.Errorf("%s, datagram %d %s: message %d is not complete", name, i, harm, m)
					}
				}
				if n := len(s.early); n < 1 || n > maxEarly {
					t.Errorf("%s, datagram %d %s: %d records wait for Done, want 1 to %d", name, i, harm, n, maxEarly)
				}
			}
		}
	}
}

// The ClientHello of a browser takes two datagrams, which may come in either
// order, and twice.
func TestHellosOfBrowsers(t *testing.T) {
	for name, c := range captures(t) {
		if !c.browserFirst {
			continue
		}
		a, b := c.page[0], c.page[1]
		for order, ds := range map[string][][]byte{
			"in order": {a, b}, "reordered": {b, a}, "repeated": {a, a, b, b},
		} {
			t.Run(name+"/"+order, func(t *testing.T) {
				answered := make(chan HandshakeEvent, 16)
				h := StartHandshake(HandshakeConfig{
					Certificate: testCertificate(), SRTP: true,
					Emit: func(e HandshakeEvent) { answered <- e },
				})
				defer h.Stop()
				var s Sieve
				for _, d := range ds {
					h.Receive(s.Append(clock.now(), nil, d))
				}
				e := <-answered
				if e.Kind != Flight {
					t.Fatalf("%v %v, want a flight", e.Kind, e.Err)
				}
				if p := pieces(e.Datagram); len(p) < 4 {
					t.Errorf("the answer has %v, want ServerHello to ServerHelloDone", p)
				}
			})
		}
	}
}
