package rtcserver

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// FuzzDatagram gives a server with a live page any datagram, from another address and from the
// page's. The server sends nothing in return, and the page stays connected. (The content of
// valid checks is a target of icelite, that of a page's packets a target of internal/peer.)
func FuzzDatagram(f *testing.F) {
	f.Add([]byte{})
	f.Add(checkFor("abcd:efgh", "0123456789012345678901", true))
	f.Add(record(22, 0, 0, append([]byte{1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 8}, make([]byte, 8)...)))
	f.Add(record(21, 0, 0, []byte{2, 0}))
	f.Add(append(record(23, 1, 99, make([]byte, 40)), record(21, 1, 100, make([]byte, 26))...))
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	l := newLiveServer(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.keepAlive()
		for _, from := range []netip.AddrPort{attackerAddr, l.page} {
			l.recordingSocket.sent, l.recordingSocket.from = 0, from
			l.recordingSocket.recorded = [][]byte{b, b}
			l.w.server.Poll(0)
			if l.recordingSocket.sent > 0 {
				t.Fatalf("%d datagrams answer %x from %v, want 0", l.recordingSocket.sent, b, from)
			}
		}
		if st := l.w.server.Stats(); st.Conns != 1 || st.Handshakes != 0 {
			t.Fatalf("%+v, want 1 connection and no handshake", st)
		}
	})
}

// A liveServer is a polled server with one open page. The page is cut off: its datagrams come
// from the test.
type liveServer struct {
	mu              sync.Mutex
	w               *world
	recordingSocket *recordingSocket
	page            netip.AddrPort
	o               offered
}

func newLiveServer(f testing.TB) *liveServer {
	l := &liveServer{w: &world{t: f, network: netsim.New(1), events: make(chan string, 100)}}
	pc := testkit.Listen(f, l.w.network, serverAddr)
	l.recordingSocket = &recordingSocket{Conn: pc}
	l.w.serve(l.recordingSocket, Config{Manual: true, Handler: Handler{Message: func(c *Conn, m Message) { f.Error("a message came") }}})
	f.Cleanup(func() { l.w.server.Close() })
	p := l.w.newPage(client.Config{})
	connected := make(chan error, 1)
	offer := ""
	go func() { connected <- p.connect(func(o string) string { offer = o; return o }) }()
	for done := false; !done; {
		l.w.server.Poll(time.Millisecond)
		select {
		case err := <-connected:
			if done = true; err != nil {
				f.Fatal(err)
			}
		default:
		}
	}
	l.page = p.addr()
	ufrag := l.w.liveUfrag()
	l.o = offered{w: l.w, ours: ufrag, theirs: testkit.Attribute(offer, "ice-ufrag"), pwd: l.w.passwords[ufrag]}
	l.recordingSocket.mu.Lock()
	defer l.recordingSocket.mu.Unlock()
	l.recordingSocket.cut = true
	return l
}

// keepAlive sends a check of the page, and waits until the server has no more to send.
func (l *liveServer) keepAlive() {
	l.recordingSocket.recorded, l.recordingSocket.from = [][]byte{l.o.request("", true)}, l.page
	for l.recordingSocket.sent = 1; l.recordingSocket.sent > 0; {
		l.recordingSocket.sent = 0
		l.w.server.Poll(0)
	}
}

// A server's memory for a connection is 2 KiB while it waits for its page, and 64 KiB in the
// handshake. (A test of internal/peer has the maximum of a live connection; this test has that
// of an idle one, together with its page.)
func TestMemoryOfAConnection(t *testing.T) {
	const conns = 400
	per := func(what string, limit, before, n int) {
		t.Helper()
		each := (testkit.HeapNow() - before) / n
		t.Logf("%s: %d bytes", what, each)
		if each > limit {
			t.Errorf("%s: %d bytes, want at most %d", what, each, limit)
		}
	}
	inWorld(t, Config{Settings: Settings{MaxHandshakes: conns, HandshakeTimeout: time.Minute, PendingTimeout: time.Minute, SilenceTimeout: 30 * time.Second}}, func(w *world) {
		var offers []*offered
		w.offer("").check(attackerAddr, "") // what grows once
		before := testkit.HeapNow()
		for i := range conns {
			setup := ""
			if i%2 == 0 {
				setup = insistsOnActive
			}
			w.signalOnly(setup)
		}
		per("waiting for its page", 2<<10, before, conns)

		for range conns / 4 {
			offers = append(offers, w.offer(""))
		}
		before = testkit.HeapNow()
		for i, o := range offers {
			o.check(netip.AddrPortFrom(attackerAddr.Addr(), uint16(1000+i)), "")
			synctest.Wait()
		}
		per("in its handshake", 64<<10, before, len(offers))
		if n := w.server.Stats().Handshakes; n < len(offers) {
			t.Errorf("%d handshakes run, want %d", n, len(offers))
		}
	})
	inWorld(t, Config{}, func(w *world) {
		w.open()
		before := testkit.HeapNow()
		for range 100 {
			w.open()
		}
		time.Sleep(time.Second)
		per("live and idle, with its page", 128<<10, before, 100)
	})
}

// signalOnly makes an offer of the largest length and with the most state, and drops the answer.
func (w *world) signalOnly(setup string) {
	text := browserOffer(w.t)
	if setup != "" {
		text = testkit.Replace("a=setup:actpass", setup)(text)
	}
	text = testkit.Replace("a=ice-ufrag:"+testkit.Attribute(text, "ice-ufrag"), "a=ice-ufrag:"+strings.Repeat("u", 256))(text)
	text = testkit.Replace("a=mid:0", "a=mid:"+strings.Repeat("m", 64))(text)
	text += strings.Repeat("a=fingerprint:sha-512 "+hexColons(make([]byte, 64))+"\r\n", 7) // more than are kept
	text += strings.Repeat("a=x-"+strings.Repeat("y", 60)+"\r\n", 190)
	if _, err := w.signal(attackerAddr.Addr(), text); err != nil {
		w.t.Fatal(err)
	}
}
