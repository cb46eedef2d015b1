package udpio

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// grouping opens a socket that takes messages of several datagrams.
func grouping(t *testing.T, addr string) *Conn {
	t.Helper()
	needBatches(t, "UDP_GRO", unix.UDP_GRO)
	c := listenN(t, addr, Config{Segments: true})[0]
	if c.pending == nil {
		t.Fatal("a socket with Segments takes no groups")
	}
	return c
}

// readBy reads n datagrams with batches of the given number.
func readBy(t *testing.T, c *Conn, n, batch int) (all []Datagram) {
	t.Helper()
	for len(all) < n {
		in := buffers(batch, 1500)
		k, err := c.ReadBatch(in)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, in[:k]...)
	}
	return all
}

// The caller gets each datagram of a message by itself, in the order of the sender, however few it reads at a time.
func TestMessagesAreTakenApart(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			needIPv6(t, host)
			server, client := grouping(t, ":0"), segmenting(t, ":0")
			remote := at(host, server)
			var out []Datagram
			for _, size := range []int{100, 100, 100, 40, 100, 101, 101, 0, 0, 7, 1, 1, 1, 1200} {
				out = append(out, sized(remote, byte(len(out)), size))
			}
			for range 70 {
				out = append(out, sized(remote, byte(len(out)), 1200))
			}
			for i := range out {
				out[i].Local = netip.MustParseAddr(host)
			}
			for _, batch := range []int{1, 3, 64} {
				write(t, client, out...)
				got := readBy(t, server, len(out), batch)
				wantPayloads(t, got, out)
				for _, d := range got {
					if want := at(host, client); d.Remote != want || d.Local != remote.Addr() {
						t.Fatalf("a datagram came from %v to %v, want %v to %v", d.Remote, d.Local, want, remote.Addr())
					}
				}
			}
			if s := server.Stats(); s.Received != 3*uint64(len(out)) || s.Truncated != 0 {
				t.Errorf("%+v, want %d received", s, 3*len(out))
			}
		})
	}
}

// A Poll says that a socket is ready as long as there are datagrams of a message that was read.
func TestPollKnowsDatagramsThatWereRead(t *testing.T) {
	a, b, client := grouping(t, "127.0.0.1:0"), grouping(t, "127.0.0.1:0"), segmenting(t, "127.0.0.1:0")
	p := pollOf(t, b, a)
	write(t, client, to(a.LocalAddr(), 3)...)
	for left := 3; left > 0; left-- {
		wantReady(t, p, 2)
		readBy(t, a, 1, 1)
		if a.pending() != (left > 1) {
			t.Fatalf("pending = %v with %d datagrams left: the kernel has not made one message", a.pending(), left-1)
		}
	}
	write(t, client, to(a.LocalAddr(), 2)...)
	readBy(t, a, 1, 1)
	write(t, client, to(b.LocalAddr(), 1)...)
	wantReady(t, p, 3)
	p.Close()
	if ready, err := p.Wait(); err == nil {
		t.Errorf("Wait = %b after Close with a datagram left; want an error", ready)
	}
	readBy(t, a, 1, 1)
	if n, err := a.ReadBatch(buffers(1, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("ReadBatch = %d, %v; want %v", n, err, os.ErrDeadlineExceeded)
	}
}

func TestTakingApartDoesNotAllocate(t *testing.T) {
	server, client := grouping(t, ":0"), segmenting(t, ":0")
	out, in := to(at("127.0.0.1", server), 5), buffers(8, 1500)
	if n := testing.AllocsPerRun(100, func() {
		client.WriteBatch(out)
		for got := 0; got < len(out); {
			k, err := server.ReadBatch(in)
			if err != nil {
				t.Fatal(err)
			}
			got += k
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// divide gives the datagrams of messages whose lengths the kernel has told.
func TestDivide(t *testing.T) {
	const cut = 5 // the caller's buffers
	for what, tt := range map[string]struct {
		messages  []string
		sizes     []int
		want      []string
		truncated uint64
	}{
		"nothing":               {},
		"one":                   {[]string{"abc"}, []int{0}, []string{"abc"}, 0},
		"one of its size":       {[]string{"abc"}, []int{3}, []string{"abc"}, 0},
		"one of a larger size":  {[]string{"abc"}, []int{4}, []string{"abc"}, 0},
		"an empty one":          {[]string{"", "a"}, []int{0, 0}, []string{"", "a"}, 0},
		"equal ones":            {[]string{"abcdef"}, []int{2}, []string{"ab", "cd", "ef"}, 0},
		"the last is shorter":   {[]string{"abcde", "fg"}, []int{2, 1}, []string{"ab", "cd", "e", "f", "g"}, 0},
		"as large as a buffer":  {[]string{"abcde"}, []int{0}, []string{"abcde"}, 0},
		"larger than a buffer":  {[]string{"abcdef", "g"}, []int{0, 0}, []string{"g"}, 1},
		"many that are larger":  {[]string{"abcdefghijklmno", "p"}, []int{6, 0}, []string{"mno", "p"}, 2},
		"only those are larger": {[]string{"abcdefghijkl"}, []int{6}, nil, 2},
	} {
		for _, batch := range []int{1, 2, 64} {
			var n counters
			g := &groups{in: make([]Datagram, maxGroups), n: len(tt.messages)}
			from := netip.MustParseAddrPort("192.0.2.1:9")
			for i, m := range tt.messages {
				g.in[i] = Datagram{Remote: from, Local: from.Addr(), B: []byte(m)}
				g.sizes[i] = tt.sizes[i]
			}
			var got []string
			for {
				ds := buffers(batch, cut)
				k := g.divide(ds, &n)
				if k == 0 {
					break
				}
				for _, d := range ds[:k] {
					got = append(got, string(d.B))
					if d.Remote != from || d.Local != from.Addr() {
						t.Errorf("%s: from %v to %v, want %v", what, d.Remote, d.Local, from)
					}
				}
			}
			if g.pending() || len(got) != len(tt.want) || n.truncated.Load() != tt.truncated {
				t.Errorf("%s, %d at a time: %q, %d truncated; want %q, %d", what, batch, got, n.truncated.Load(), tt.want, tt.truncated)
				continue
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("%s, %d at a time: %q, want %q", what, batch, got, tt.want)
				}
			}
		}
	}
}

// Segments takes effect where the kernel knows the two options, and only then.
func TestKernelsThatKnowNoGroups(t *testing.T) {
	if canSegment(-1) || newGroups(-1) != nil {
		t.Error("an invalid socket knows UDP_SEGMENT or UDP_GRO")
	}
	needBatches(t, "UDP_SEGMENT", unix.UDP_SEGMENT)
	needBatches(t, "UDP_GRO", unix.UDP_GRO)
	c := listen(t, "127.0.0.1:0")
	if c.pending != nil {
		t.Error("a socket without Segments takes groups")
	}
	c.raw.Control(func(fd uintptr) {
		if !canSegment(int(fd)) {
			t.Error("canSegment = false at a socket that knows UDP_SEGMENT")
		}
	})
}

// Datagrams that are too large, of which there may be any number, do not keep ReadBatch: it ends after maxReads system calls.
func TestABatchEndsThoughMoreAreWaiting(t *testing.T) {
	for _, small := range []int{0, 1} {
		server, client := grouping(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
		write(t, client, to(server.LocalAddr(), small)...)
		const most, more = maxReads * maxGroups, 40
		for range most - small + more { // each is one message
			write(t, client, sized(server.LocalAddr(), 0, 100))
		}
		server.SetReadDeadline(longAgo)
		k, err := server.ReadBatch(buffers(maxBatch, 50))
		if n := server.Stats().Truncated; k != small || (err == nil) != (small > 0) || n != uint64(most-small) {
			t.Errorf("%d datagrams, %v, %d too large; want %d and %d", k, err, n, small, most-small)
		}
		if k, err = server.ReadBatch(buffers(maxBatch, 50)); k != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the next batch: %d, %v; want %v", k, err, os.ErrDeadlineExceeded)
		}
		if n := server.Stats().Truncated; n != uint64(most-small+more) {
			t.Errorf("%d are too large, want %d", n, most-small+more)
		}
	}
}

// What the kernel says about the length of datagrams is read beside the other control messages.
func TestControlMessageOfAGroup(t *testing.T) {
	b := make([]byte, controlLen)
	info := putControl((*[controlLen]byte)(b), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8"))
	putCmsg(b[info:], cmsgData+groupedLen, 17, 104) // SOL_UDP, UDP_GRO
	for said, want := range map[int32]int{77: 77, 0: 0, -1: 0} {
		binary.NativeEndian.PutUint32(b[info+cmsgData:], uint32(said))
		if c := parseControl(b[:info+cmsgData+wordLen]); c.size != want || c.local != netip.MustParseAddr("192.0.2.7") {
			t.Errorf("%d: size %d, local %v; want %d", said, c.size, c.local, want)
		}
		if c := parseControl(b[:info+cmsgData+groupedLen-1]); c.size != 0 {
			t.Errorf("%d: size %d of a message that is cut off, want 0", said, c.size)
		}
	}
	for _, other := range []struct {
		n          int
		level, typ uint32
	}{{cmsgData + groupedLen - 1, 17, 104}, {cmsgData + groupedLen, unix.SOL_SOCKET, 104}, {cmsgData + groupedLen, 17, 103}} {
		var b [cmsgData + groupedLen]byte
		putCmsg(b[:], other.n, other.level, other.typ)
		b[cmsgData] = 7
		if c := parseControl(b[:]); c != (control{}) {
			t.Errorf("%+v: %+v, want that the message says nothing", other, c)
		}
	}
}
