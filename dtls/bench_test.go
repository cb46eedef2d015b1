package dtls

import (
	"crypto/tls"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

func BenchmarkSeal(b *testing.B) {
	for _, s := range []Suite{ECDSAWithAES128GCM, ECDSAWithChaCha20} {
		b.Run(s.String()+"/228B", func(b *testing.B) {
			c, _ := testConns(s)
			buf, plain := make([]byte, 0, 1500), make([]byte, 228)
			b.ReportAllocs()
			b.SetBytes(228)
			for b.Loop() {
				if _, err := c.Seal(append(c.Reserve(buf), plain...), 0, TypeApplicationData); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, s := range []Suite{ECDSAWithAES128GCM, ECDSAWithChaCha20} {
		b.Run(s.String()+"/228B", func(b *testing.B) {
			client, server := testConns(s)
			raw := seal(b, client, TypeApplicationData, string(make([]byte, 228)))
			buf := make([]byte, len(raw))
			b.ReportAllocs()
			b.SetBytes(228)
			for b.Loop() {
				server.window = replay{}
				copy(buf, raw)
				if _, _, drop := server.Open(buf); drop != DropNone {
					b.Fatal(drop)
				}
			}
		})
	}
}

// BenchmarkHandshake runs both ends, so the figures are for two handshakes.
func BenchmarkHandshake(b *testing.B) {
	config := configFor(tls.Certificate{Certificate: [][]byte{testCertificate().der}})
	b.ReportAllocs()
	for b.Loop() {
		var sides [2]*Handshake
		ready, done := make(chan struct{}), make(chan error, 2)
		for i := range sides {
			var sieve Sieve // of the other end: used by this one's goroutine only
			c := config
			c.Client = i == 0
			c.Emit = func(e HandshakeEvent) {
				<-ready
				switch e.Kind {
				case Flight:
					sides[1-i].Receive(sieve.Append(time.Now(), nil, e.Datagram))
				case Done, Failed:
					done <- e.Err
				}
			}
			sides[i] = StartHandshake(c)
		}
		close(ready)
		for range sides {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
}

// The memory of an idle connection is its Conn and two AEADs. The bound leaves room for changes
// of Go, not for a new field.
func TestConnIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 256 {
		t.Errorf("a Conn has %d bytes, want at most 256", n)
	}
	for _, test := range []struct {
		suite Suite
		limit int
	}{{ECDSAWithAES128GCM, 2048}, {ECDSAWithChaCha20, 512}} {
		k := testKeys(test.suite)
		const n = 1000
		before := testkit.HeapNow()
		conns := make([]Conn, n)
		for i := range conns {
			conns[i].Init(k, true, FirstRecord)
		}
		each := (testkit.HeapNow() - before) / n
		t.Logf("%v: %d bytes a connection", test.suite, each)
		if each > test.limit {
			t.Errorf("%v: %d bytes a connection, want at most %d", test.suite, each, test.limit)
		}
		runtime.KeepAlive(conns)
	}
}
