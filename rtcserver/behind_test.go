package rtcserver

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
)

var (
	relayAddr = netip.MustParseAddrPort("10.0.0.2:7776")
	trusting  = Config{Settings: Settings{TrustedRelays: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}}}
)

// wrapped returns a datagram in the header of a relay.
func wrapped(client netip.AddrPort, b []byte) []byte {
	return append(envelope.Append(nil, client, false), b...)
}

// fromServer reads the next datagram of the server at the socket of a relay.
func fromServer(t *testing.T, socket *netsim.Conn) (client netip.AddrPort, proved bool, b []byte) {
	t.Helper()
	buf := make([]byte, inLen)
	socket.SetReadDeadline(time.Now().Add(time.Second))
	n, from, err := socket.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	client, proved, b, ok := envelope.Parse(buf[:n])
	if !ok || from != serverAddr {
		t.Fatalf("%x arrives from %v, want a header from %v", buf[:n], from, serverAddr)
	}
	return client, proved, b
}

// A client behind a relay has its own address at the server, and gets its answers through the relay. One that
// sends from the same address directly is another.
func TestAClientBehindARelay(t *testing.T) {
	for _, client := range []netip.AddrPort{victimAddr, netip.MustParseAddrPort("[2001:db8::9]:9")} {
		inWorld(t, trusting, func(w *world) {
			relay := testkit.Listen(t, w.network, relayAddr)
			o := w.offer("")
			w.network.Inject(relayAddr, serverAddr, wrapped(client, o.request("", true)))
			for n, class := range []peer.Class{peer.STUN, peer.DTLS} {
				to, proved, b := fromServer(t, relay)
				if to != client || proved || peer.Classify(b) != class {
					t.Errorf("datagram %d: %.20x to %v, proved %v; want one of class %v to %v", n, b, to, proved, class, client)
				}
				if class == peer.STUN && !bytes.Equal(b[:2], []byte{1, 1}) {
					t.Errorf("the answer is %x, want a success", b)
				}
			}
			synctest.Wait()
			if got := o.conn.RemoteAddr(); got != client {
				t.Errorf("the address is %v, want %v", got, client)
			}
			if w.server.relays.slots[0].Load().checked.Load() < 0 {
				t.Error("the check of the client does not keep the place of the relay")
			}
			c := o.conn.shard.byAddr
			if len(c) != 1 || c[client] != nil {
				t.Errorf("the addresses of connections are %v, want none without the relay", c)
			}
			p := w.open()
			p.echoes("a page without a relay")
			if st := w.server.Stats(); st.Drops != [dropReasons]uint64{} {
				t.Errorf("drops: %v, want none", st.Drops)
			}
		})
	}
}

// Headers that are not from a trusted relay, or malformed, or with something else inside than WebRTC, are
// dropped and counted, and get no answer.
func TestForgedHeaders(t *testing.T) {
	inWorld(t, trusting, func(w *world) {
		relay := testkit.Listen(t, w.network, relayAddr)
		attacker := testkit.Listen(t, w.network, attackerAddr)
		o := w.offer("")
		check := o.request("", true)
		good := wrapped(victimAddr, check)
		n := uint64(0)
		for name, c := range map[string]struct {
			from netip.AddrPort
			b    []byte
		}{
			"of a stranger":         {attackerAddr, good},
			"of another network":    {netip.MustParseAddrPort("10.0.1.2:7776"), good},
			"cut off":               {relayAddr, good[:9]},
			"without a datagram":    {relayAddr, wrapped(victimAddr, nil)},
			"in a header":           {relayAddr, wrapped(victimAddr, good)},
			"with QUIC":             {relayAddr, wrapped(victimAddr, []byte{0xc0, 0, 0, 0, 1})},
			"of another version":    {relayAddr, append([]byte{good[0], good[1], 2}, good[3:]...)},
			"of an unknown family":  {relayAddr, append([]byte{good[0], good[1], 1, 9}, good[4:]...)},
			"for a client's port 0": {relayAddr, wrapped(netip.AddrPortFrom(victimAddr.Addr(), 0), check)},
		} {
			n++
			w.network.Inject(c.from, serverAddr, c.b)
			synctest.Wait()
			if st := w.server.Stats(); st.Drops[DropRelay] != n || st.Conns != 0 {
				t.Errorf("%s: %d datagrams are dropped, want %d; %d connections, want 0", name, st.Drops[DropRelay], n, st.Conns)
			}
		}
		for who, socket := range map[string]*netsim.Conn{"the relay": relay, "the attacker": attacker} {
			if socket.Queued() > 0 {
				t.Errorf("%s got %d datagrams, want none", who, socket.Queued())
			}
		}
		p := w.open()
		p.echoes("a page")
	})
	inWorld(t, Config{}, func(w *world) {
		w.network.Inject(relayAddr, serverAddr, wrapped(victimAddr, w.offer("").request("", true)))
		synctest.Wait()
		if st := w.server.Stats(); st.Drops[DropRelay] != 1 || st.Conns != 0 {
			t.Errorf("without TrustedRelays: %d are dropped, want 1; %d connections, want 0", st.Drops[DropRelay], st.Conns)
		}
	})
}

// The limits per address count the clients behind a relay by their own addresses.
func TestLimitsBehindARelay(t *testing.T) {
	var d directState
	c := d.config(Settings{MaxPerIP: 1, TrustedRelays: trusting.TrustedRelays})
	inWorld(t, c, func(w *world) {
		send := func(n, client byte) {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, client}), 6666)
			w.network.Inject(relayAddr, serverAddr, wrapped(from, checkOf(inviteFor(n, time.Minute), "page")))
			synctest.Wait()
		}
		send(1, 1)
		send(2, 1)
		send(3, 2)
		if st := w.server.Stats(); st.Conns != 2 || st.Drops[DropLimited] != 1 {
			t.Errorf("%d connections and %d drops, want 2 and 1", st.Conns, st.Drops[DropLimited])
		}
	})
}

// An invite for another node begins nothing; with the server's own number it does.
func TestInvitesOfANode(t *testing.T) {
	var d directState
	inWorld(t, d.config(Settings{Node: 0x010203}), func(w *world) {
		if o := w.offer(""); o.ours[:5] != "PAQID" {
			t.Errorf("the fragment of an answer is %s, want one of the node", o.ours)
		}
		for i, node := range []uint32{0, 1, 0x010203} {
			f := inviteFor(byte(i), time.Minute)
			f.Node = node
			w.network.Inject(attackerAddr, serverAddr, checkOf(f, "page"))
		}
		synctest.Wait()
		if st := w.server.Stats(); st.Drops[DropForged] != 2 || len(d.engines) != 1 {
			t.Errorf("%d checks are dropped and %d begin a connection, want 2 and 1", st.Drops[DropForged], len(d.engines))
		}
	})
	for what, c := range map[string]Config{
		"a node":  {Settings: Settings{Node: 1 << 24}},
		"a relay": {Settings: Settings{TrustedRelays: []netip.Prefix{{}}}},
	} {
		if err := c.setDefaults(); err == nil {
			t.Errorf("%s that cannot be is accepted", what)
		}
	}
}

// A server knows 64 sockets of relays. One more gets a place only of one that has brought no valid check for
// a minute, or none in its first second.
func TestPlacesOfRelays(t *testing.T) {
	r := newRelays(trusting.TrustedRelays)
	now := time.Now()
	at := func(n int) netip.AddrPort { return netip.AddrPortFrom(relayAddr.Addr(), uint16(1000+n)) }
	want := func(what string, n, index int) {
		t.Helper()
		if got := r.index(now, at(n)); got != index {
			t.Errorf("%s: relay %d has the place %d, want %d", what, n, got, index)
		}
	}
	for n := range maxRelays {
		want("at first", n, n)
	}
	want("again", 7, 7)
	want("one more", 100, -1)
	if got := r.index(now, attackerAddr); got != -1 {
		t.Errorf("a stranger has the place %d", got)
	}
	now = now.Add(relayNew + 1)
	for n := range maxRelays {
		if n != 5 {
			r.noteCheck(now, tagged(victimAddr, n))
		}
	}
	want("in the place of one without a check", 100, 5)
	want("one more", 101, -1)
	now = now.Add(relayIdle - time.Second)
	r.noteCheck(now, tagged(victimAddr, 9))
	now = now.Add(3 * time.Second)
	want("of the one with a late check", 9, 9)
	for n := range 10 {
		if i := r.index(now, at(200+n)); i < 0 || i == 9 {
			t.Errorf("a new relay has the place %d", i)
		}
	}
	want("of the one with a late check", 9, 9)
	var none *relays
	none.noteCheck(now, victimAddr)
	if newRelays(nil) != nil {
		t.Error("relays without any that is trusted")
	}
}

// A relay that has brought no valid check loses its place after a second, another one a minute after its
// last check.
func TestWhenTheRelaysPlaceIsFree(t *testing.T) {
	began := time.Now()
	for _, c := range []struct {
		checked, age time.Duration // checked is negative without a check
		idle         bool
	}{
		{-1, relayNew, false},
		{-1, relayNew + 1, true},
		{0, relayNew + 1, false},
		{0, relayIdle, false},
		{0, relayIdle + 1, true},
		{30 * time.Second, 30*time.Second + relayIdle, false},
		{30 * time.Second, 30*time.Second + relayIdle + 1, true},
	} {
		r := newRelays(trusting.TrustedRelays)
		place := r.index(began, relayAddr)
		if c.checked >= 0 {
			r.noteCheck(began.Add(c.checked), tagged(victimAddr, place))
		}
		if got := r.slots[place].Load().idle(began.Add(c.age)); got != c.idle {
			t.Errorf("after %v, the last check came after %v: idle %v, want %v", c.age, c.checked, got, c.idle)
		}
	}
}

// What draws no answer of a client draws none behind a relay, not even an empty header.
func TestNothingIsSentToARelayInVain(t *testing.T) {
	inWorld(t, trusting, func(w *world) {
		relay := testkit.Listen(t, w.network, relayAddr)
		o := w.offer("")
		w.network.Inject(relayAddr, serverAddr, wrapped(victimAddr, o.request("the wrong password", true)))
		w.network.Inject(relayAddr, serverAddr, nil)
		synctest.Wait()
		if w.server.relays.slots[0].Load().checked.Load() >= 0 {
			t.Error("a check that is refused keeps the place of the relay")
		}
		if n := relay.Queued(); n > 0 {
			t.Errorf("the relay got %d datagrams, want none", n)
		}
		if st := w.server.Stats(); st.Drops[DropBadCheck] != 1 || st.Drops[DropNotOurs] != 1 {
			t.Errorf("drops: %v, want a check and an empty datagram", st.Drops)
		}
	})
}

// An address with the way to it is unlike that without, and unlike that with another way; the limits and the
// program see no difference.
func TestAddressesBehindRelays(t *testing.T) {
	seen := make(map[netip.AddrPort]bool)
	for _, text := range []string{"203.0.113.9:1", "[2001:db8::1]:2", "127.0.0.1:3"} {
		a := netip.MustParseAddrPort(text)
		for i := range maxRelays {
			b := tagged(a, i)
			if behind(b) != i || clientAddr(b) != a || site(b.Addr()) != site(a.Addr()) || seen[b] || b == a {
				t.Errorf("%v behind relay %d is %v", a, i, b)
			}
			seen[b] = true
		}
	}
	for _, text := range []string{"203.0.113.9:1", "[2001:db8::1]:2", "[fe80::1%2]:3", "[fe80::1%12]:3"} {
		if a := netip.MustParseAddrPort(text); behind(a) != -1 || clientAddr(a) != a {
			t.Errorf("%v is behind a relay", a)
		}
	}
}

// BenchmarkBehindARelay is what a relay adds to a datagram of a client in the server, and to one for it.
func BenchmarkBehindARelay(b *testing.B) {
	s := &shard{server: &Server{relays: newRelays(trusting.TrustedRelays)}}
	now := time.Now()
	in, out := make([]byte, 0, inLen), make([]byte, 0, outLen)
	payload := append([]byte{0x17}, make([]byte, 99)...)
	b.ReportAllocs()
	for b.Loop() {
		d := udpio.Datagram{Remote: relayAddr, B: append(envelope.Append(in, victimAddr, false), payload...)}
		s.unwrap(now, &d)
		envelope.Wrap(append(out, d.B...), clientAddr(d.Remote), true)
	}
}

// A datagram behind a relay allocates nothing.
func TestDatagramsBehindARelayAllocateNothing(t *testing.T) {
	x := newBareShards(t, 1, trusting)
	s := x.shards[0]
	record := []byte("\x17\xfe\xfd a record")
	b := make([]byte, 0, inLen)
	if n := testing.AllocsPerRun(batchLen-2, func() { // netsim allocates when the batch is full
		d := udpio.Datagram{Remote: relayAddr, Local: serverAddr.Addr(), B: append(envelope.Append(b, victimAddr, false), record...)}
		s.unwrap(x.now, &d)
		if string(d.B) != string(record) || cap(d.B) != inLen {
			t.Fatalf("%q of a capacity of %d", d.B, cap(d.B))
		}
		s.push(append(s.loop.Slot(), d.B...), d.Remote, d.Local, true)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
