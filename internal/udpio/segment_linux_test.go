package udpio

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// segmenting opens a socket that sends runs of datagrams together.
func segmenting(t *testing.T, addr string) *Conn {
	t.Helper()
	needBatches(t, "UDP_SEGMENT", unix.UDP_SEGMENT)
	return listenN(t, addr, Config{Segments: true})[0]
}

// needBatches skips a test if this process may not move many datagrams with a system call, or the kernel does not know an option of UDP.
func needBatches(t *testing.T, name string, option int) {
	t.Helper()
	raw := listen(t, "127.0.0.1:0").raw
	if raw == nil {
		t.Skip("this process may not move many datagrams with a call")
	}
	var err error
	raw.Control(func(fd uintptr) { _, err = unix.GetsockoptInt(int(fd), unix.SOL_UDP, option) })
	if err != nil {
		t.Skipf("this kernel does not know %s: %v", name, err)
	}
}

// A run leaves as one message, which a receiver with UDP_GRO can see.
func TestARunIsOneMessage(t *testing.T) {
	needBatches(t, "UDP_GRO", unix.UDP_GRO)
	client := segmenting(t, "127.0.0.1:0")
	u := testkit.Must(listenUDP("udp4", "127.0.0.1:0", nil))
	defer u.Close()
	testkit.Must(u.SyscallConn()).Control(func(fd uintptr) {
		if err := unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
			t.Fatal(err)
		}
	})
	out := to(addrPort(u.LocalAddr()), 3)
	write(t, client, out...)
	u.SetReadDeadline(time.Now().Add(testkit.Patience))
	b := make([]byte, groupLen)
	if n, err := u.Read(b); err != nil || n != 3*len(out[0].B) {
		t.Errorf("a message of %d bytes, %v; want the %d bytes of three datagrams", n, err, 3*len(out[0].B))
	}
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
		"the largest message":     {of(a, maxRun/3, maxRun/3, maxRun/3), 3},
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
		size := 0 // of the control messages
		if segments {
			size = segmentLen
		}
		for range 2 { // nothing of an earlier batch is left
			if m.prepareWrite(ds); m.w.n != want || int(m.w.hdrs[0].Hdr.Controllen) != size {
				t.Errorf("segments %v: %d messages, %d bytes of control; want %d, %d", segments, m.w.n, m.w.hdrs[0].Hdr.Controllen, want, size)
			}
		}
		if m.prepareWrite(ds[:1]); m.w.n != 1 || m.w.hdrs[0].Hdr.Controllen != 0 {
			t.Errorf("segments %v: one datagram is %d messages with %d bytes of control, want 1 without", segments, m.w.n, m.w.hdrs[0].Hdr.Controllen)
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

// A refusal of a run that says that the device cannot divide it ends runs. One that says that the buffer is full loses the run, and its
// datagrams are not tried alone.
func TestCausesOfRefusedRuns(t *testing.T) {
	if os.Getenv(sandboxVariable) != "" {
		errno, _, err := refusedCalls()
		if err != nil {
			t.Fatal(err)
		}
		var c Conn
		m := newMmsg(testkit.Must(testkit.Must(listenUDP("udp4", "127.0.0.1:0", nil)).SyscallConn()), false, netip.IPv6Loopback(), &c.counters)
		m.segments = true
		n, err := m.write(to(netip.MustParseAddrPort("127.0.0.1:9"), 3))
		s := c.Stats()
		fmt.Printf("%v: %d, %v, segments %v, alone %v, full %d, failed %d, too large %d\n",
			unix.ErrnoName(errno), n, err, m.segments, m.w.single.Hdr.Iov != nil, s.SendFull, s.SendFailed, s.SendTooLarge)
		return
	}
	for errno, want := range map[unix.Errno]string{
		unix.EIO:      "EIO: 0, <nil>, segments false, alone true, full 0, failed 3, too large 0",
		unix.EMSGSIZE: "EMSGSIZE: 0, <nil>, segments true, alone true, full 0, failed 0, too large 3",
		unix.EAGAIN:   "EAGAIN: 0, <nil>, segments true, alone false, full 3, failed 0, too large 0",
		unix.ENOBUFS:  "ENOBUFS: 0, <nil>, segments true, alone false, full 3, failed 0, too large 0",
	} {
		out := inSandbox(t, "^TestCausesOfRefusedRuns$", refusing(errno, unix.SYS_RECVMMSG, unix.SYS_SENDMMSG))
		if !strings.Contains(out, want+"\n") {
			t.Errorf("%s\nwant %s", out, want)
		}
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
