package udpio

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// segmenting opens a socket that sends runs of datagrams together.
func segmenting(t *testing.T, addr string) *Conn {
	t.Helper()
	c := listenN(t, addr, Config{Segments: true})[0]
	c.raw.Control(func(fd uintptr) {
		if !canSegment(int(fd)) {
			t.Skip("this kernel does not know UDP_SEGMENT")
		}
	})
	return c
}

// sized returns a datagram of n bytes, which begins with its number.
func sized(remote netip.AddrPort, number byte, n int) Datagram {
	d := Datagram{Remote: remote, B: make([]byte, n)}
	if n > 0 {
		d.B[0] = number
	}
	return d
}

// The receiver gets each datagram of a run by itself, in the order of the batch.
func TestSegmentsArriveAsDatagrams(t *testing.T) {
	for _, test := range []struct{ name, server, client, host string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"},
		{"IPv4 on dual-stack sockets", ":0", ":0", "127.0.0.1"},
		{"IPv6", ":0", ":0", "::1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			needIPv6(t, test.host)
			server, client := listen(t, test.server), segmenting(t, test.client)
			remote := at(test.host, server)
			var out []Datagram
			for _, size := range []int{100, 100, 100, 40, 100, 100, 101, 101, 0, 0, 7, 1, 1, 1200} {
				out = append(out, sized(remote, byte(len(out)), size))
			}
			for range 70 { // more than one message, and one batch, may carry
				out = append(out, sized(remote, byte(len(out)), 1200))
			}
			for i := range out {
				out[i].Local = netip.MustParseAddr(test.host)
			}
			write(t, client, out...)
			got := readAll(t, server, len(out))
			wantPayloads(t, got, out)
			for _, d := range got {
				if want := at(test.host, client); d.Remote != want {
					t.Fatalf("a datagram came from %v, want %v", d.Remote, want)
				}
			}
			if s := client.Stats(); s.Sent != uint64(len(out)) {
				t.Errorf("Sent = %d, want %d", s.Sent, len(out))
			}
		})
	}
}

// Neighbours with the same addresses and length are one message; the last of them may be shorter.
func TestRunsOfDatagrams(t *testing.T) {
	a, b := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	of := func(remote netip.AddrPort, sizes ...int) (ds []Datagram) {
		for i, n := range sizes {
			ds = append(ds, sized(remote, byte(i), n))
		}
		return ds
	}
	local := of(a, 9, 9)
	local[1].Local = netip.MustParseAddr("127.0.0.5")
	for what, tt := range map[string]struct {
		ds   []Datagram
		want int
	}{
		"one":                     {of(a, 9), 1},
		"equal ones":              {of(a, 9, 9, 9), 3},
		"a shorter one at an end": {of(a, 9, 9, 8, 8), 3},
		"a longer one":            {of(a, 9, 9, 10), 2},
		"empty ones":              {of(a, 0, 0), 1},
		"an empty one at an end":  {of(a, 9, 0), 1},
		"another address":         {append(of(a, 9, 9), of(b, 9)...), 2},
		"another local address":   {local, 1},
		"as much as fits":         {of(a, maxRun/2, maxRun/2), 2},
		"more than fits":          {of(a, maxRun/2+1, maxRun/2+1), 1},
	} {
		if n := run(tt.ds); n != tt.want {
			t.Errorf("%s: %d datagrams are one message, want %d", what, n, tt.want)
		}
	}
}

// A batch of one length to one address is one message, without Segments one message for each datagram.
func TestMessagesOfABatch(t *testing.T) {
	ds := make([]Datagram, maxBatch)
	for i := range ds {
		ds[i] = sized(netip.MustParseAddrPort("127.0.0.1:1"), byte(i), 100)
	}
	for segments, want := range map[bool]int{true: 1, false: maxBatch} {
		m := newMmsg(badRaw{}, false, netip.Addr{}, new(counters))
		m.segments = segments
		for range 2 { // nothing of an earlier batch is left
			if m.prepareWrite(ds); m.w.n != want {
				t.Errorf("segments %v: %d messages, want %d", segments, m.w.n, want)
			}
		}
	}
}

// If the kernel refuses a run, its datagrams are sent one by one.
func TestRefusedRunsAreSentOneByOne(t *testing.T) {
	server, client := listen(t, "127.0.0.1:0"), segmenting(t, "0.0.0.0:0")
	client.raw.Control(func(fd uintptr) { // without checksums the kernel divides nothing: EINVAL
		if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
			t.Fatal(err)
		}
	})
	ours := netip.MustParseAddr("127.0.0.1")
	var out []Datagram
	for i, size := range []int{100, 100, 100, 100, 50, 60, 60} {
		d := sized(server.LocalAddr(), byte(i), size)
		d.Local = ours
		out = append(out, d)
	}
	for range 2 {
		write(t, client, out...)
		wantPayloads(t, readAll(t, server, len(out)), out)
	}
	lost := out[:3:3]
	for i := range lost {
		lost[i].Local = netip.MustParseAddr("203.0.113.1")
	}
	if n, err := client.WriteBatch(lost); n != 0 || err != nil {
		t.Errorf("WriteBatch from an address that is not ours = %d, %v; want 0", n, err)
	}
	if s := client.Stats(); s.Sent != 2*uint64(len(out)) || s.SendFailed+s.SendUnreachable != uint64(len(lost)) {
		t.Errorf("%+v, want %d sent and %d failed", s, 2*len(out), len(lost))
	}
}

// If the buffer gets full, all datagrams of the runs that were not sent are counted.
func TestFullSendBufferWithRuns(t *testing.T) {
	const together = 4
	for _, refused := range []bool{false, true} {
		raw := shortQueue(t)
		var c Conn
		m := newMmsg(raw, false, netip.Addr{}, &c.counters)
		for range 1000 { // the system's limit is about 10
			m.w.n = maxBatch / together
			for i := range m.w.n {
				hdr := &m.w.hdrs[i].Hdr
				hdr.Name = nil
				hdr.SetControllen(segmentLen)
				m.w.firsts[i], m.w.runs[i] = uint8(i*together), together
				hdr.Iov = &m.w.iovs[i*together]
			}
			for i := range m.w.iovs {
				m.w.setPayload(i, []byte("x"))
			}
			if refused {
				m.w.done, m.w.full = 0, false
				raw.Control(func(fd uintptr) { m.w.full = m.sendApart(fd, 0) })
			} else if err := raw.Write(m.sendFunc); err != nil {
				t.Fatal(err)
			}
			if m.w.full {
				break
			}
		}
		want := maxBatch
		if refused {
			want = together
		}
		if n := c.Stats().SendFull; !m.w.full || n != uint64(want-m.w.done) {
			t.Errorf("refused %v: %d of %d sent, SendFull = %d, want the rest", refused, m.w.done, want, n)
		}
	}
}
