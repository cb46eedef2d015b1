package udpio

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A batch has all datagrams that have arrived, as far as there is room: a caller who gets fewer knows that no more are
// waiting, also if the kernel gives fewer messages at once than the batch has room for, or some are too large.
func TestABatchIsFullIfMoreAreWaiting(t *testing.T) {
	const n, large = 200, 1600
	for what, open := range map[string]func() *Conn{
		"messages": func() *Conn { return listen(t, "127.0.0.1:0") },
		"groups":   func() *Conn { return listenN(t, "127.0.0.1:0", Config{Segments: true})[0] },
		"one by one": func() *Conn {
			u, err := listenUDP("udp4", "127.0.0.1:0", nil)
			if err != nil {
				t.Fatal(err)
			}
			c := oneByOne(u, Config{})
			t.Cleanup(func() { c.Close() })
			return c
		},
	} {
		for _, every := range []int{0, 5, 64} {
			server, client := open(), listen(t, "127.0.0.1:0")
			want := 0
			for i := range n {
				size := 100
				if every > 0 && i%every == 1 {
					size = large
				} else {
					want++
				}
				write(t, client, sized(server.LocalAddr(), byte(i), size)) // one message each
			}
			server.SetReadDeadline(time.Unix(1, 0))
			in := buffers(maxBatch, 1500)
			for want > 0 {
				k, err := server.ReadBatch(in)
				if err != nil || k != min(want, maxBatch) {
					t.Fatalf("%s, one in %d is too large: a batch of %d, %v, with %d waiting", what, every, k, err, want)
				}
				want -= k
			}
			if k, err := server.ReadBatch(in); k != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %d, %v, want nothing", what, k, err)
			}
		}
	}
}

// Options of a socket that a program has opened and given away do not change what is read and written, nor keep a Poll from waiting.
func TestOptionsOfATakenSocket(t *testing.T) {
	options := [][2]int{{unix.SOL_UDP, unix.UDP_GRO}, {unix.SOL_UDP, unix.UDP_SEGMENT}, {unix.IPPROTO_IP, unix.IP_RECVERR}}
	u := testkit.Must(listenUDP("udp4", "127.0.0.1:0", nil))
	testkit.Must(u.SyscallConn()).Control(func(fd uintptr) {
		for _, o := range options {
			if err := unix.SetsockoptInt(int(fd), o[0], o[1], 1); err != nil {
				t.Skipf("this kernel does not know option %v: %v", o, err)
			}
		}
	})
	server := testkit.Must(Take(u, Config{}))
	defer server.Close()
	if server.raw == nil {
		t.Skip("this process may not move many datagrams with a call")
	}
	server.raw.Control(func(fd uintptr) {
		for _, o := range options {
			if n := testkit.Must(unix.GetsockoptInt(int(fd), o[0], o[1])); n != 0 {
				t.Errorf("option %v is %d, want 0", o, n)
			}
		}
	})
	client := segmenting(t, "127.0.0.1:0")
	out := to(server.LocalAddr(), 5)
	write(t, client, out...)
	wantPayloads(t, readAll(t, server, len(out)), out)
}
