package udpio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// descriptors returns how many files this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// withDescriptors runs f while this process may open n more files.
func withDescriptors(t *testing.T, n int, f func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	var held []int
	for range n {
		fd, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, fd)
	}
	limit := old
	limit.Cur = uint64(held[n-1] + 1)
	for _, fd := range held {
		unix.Close(fd)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	f()
}

// A socket is one file, and a Listen that fails half-way leaves no file open.
func TestListenLeavesNoFiles(t *testing.T) {
	listen(t, "127.0.0.1:0") // after it the runtime has opened its own files
	before := descriptors(t)
	for _, c := range []struct{ may, sockets int }{{1, 1}, {3, 4}} {
		withDescriptors(t, c.may, func() {
			conns, err := Listen("127.0.0.1:0", Config{Sockets: c.sockets})
			if !errors.Is(err, unix.EMFILE) || conns != nil {
				t.Errorf("%d sockets with %d files: %v, %v; want EMFILE", c.sockets, c.may, conns, err)
			}
		})
		if n := descriptors(t); n != before {
			t.Errorf("%d sockets with %d files: %d are left open, want 0", c.sockets, c.may, n-before)
		}
	}
	for _, sockets := range []int{1, 2, maxSockets} {
		conns, err := Listen("127.0.0.1:0", Config{Sockets: sockets, ReadBuffer: -1, WriteBuffer: -1})
		if n := descriptors(t); err != nil || len(conns) != sockets || n != before+sockets {
			t.Errorf("%d sockets: %v, %d files, want one for each", sockets, err, n-before)
		}
		for _, c := range conns {
			c.Close()
		}
		if n := descriptors(t); n != before {
			t.Errorf("%d sockets: %d files are left open, want 0", sockets, n-before)
		}
	}
}

// If another program takes the port between two sockets, Listen tries again for port 0, and not
// for a port that the caller has chosen. It gives up after some attempts.
func TestPortsThatAreTakenInBetween(t *testing.T) {
	for _, c := range []struct {
		port         string
		fails, tries int
	}{{"0", 0, 1}, {"0", 3, 4}, {"0", 100, portTries}, {"7777", 100, 1}, {"7777", 0, 1}} {
		tries := 0
		conns, err := tryPorts(c.port, func() ([]*Conn, error) {
			if tries++; tries <= c.fails {
				return nil, unix.EADDRINUSE
			}
			return make([]*Conn, 1), nil
		})
		if tries != c.tries || (err == nil) != (c.fails < c.tries) || (len(conns) == 1) != (err == nil) {
			t.Errorf("port %s, taken %d times: tried %d times, want %d; %v", c.port, c.fails, tries, c.tries, err)
		}
	}
}

// A badRaw calls back with an invalid descriptor, or not at all.
type badRaw struct{ err error }

func (r badRaw) Control(f func(fd uintptr)) error {
	if r.err == nil {
		f(^uintptr(0))
	}
	return r.err
}

func (r badRaw) Read(f func(fd uintptr) bool) error {
	return r.Control(func(fd uintptr) { f(fd) })
}

func (r badRaw) Write(f func(fd uintptr) bool) error { return r.Read(f) }

// The system's error for an invalid socket is returned.
func TestErrorsOfSocketsAreReturned(t *testing.T) {
	if err := sharePort("", "", badRaw{}); err != unix.EBADF {
		t.Errorf("sharePort: %v, want EBADF", err)
	}
	if err := sharePort("", "", badRaw{net.ErrClosed}); err != net.ErrClosed {
		t.Errorf("sharePort of a closed socket: %v, want net.ErrClosed", err)
	}
	if _, from, err := newLook(badRaw{})(nil); err != unix.EBADF || from.IsValid() {
		t.Errorf("a look at an invalid socket: %v from %v, want EBADF", err, from)
	}
	if _, _, err := newLook(badRaw{unix.EBADF})(nil); err != net.ErrClosed {
		t.Errorf("a look at a closed socket: %v, want net.ErrClosed", err)
	}
	var n counters
	m := newMmsg(badRaw{}, false, netip.IPv6Loopback(), &n)
	k, err := m.read(buffers(4, 20))
	if k != 0 || !errors.Is(err, unix.EBADF) || !strings.HasPrefix(err.Error(), "recvmmsg") || n.readErrors.Load() != maxReadErrors {
		t.Errorf("reading: %v after %d errors, want %d", err, n.readErrors.Load(), maxReadErrors)
	}
	if err := closeFile(nil); err != os.ErrInvalid {
		t.Errorf("closeFile(nil): %v, want os.ErrInvalid", err)
	}
	if batches(&net.UDPConn{}) || lookAt(&net.UDPConn{}) != nil {
		t.Error("batches or lookAt accepts a UDPConn without a socket")
	}
	if onlyIPv6(&net.UDPConn{}) {
		t.Error("a UDPConn without a socket receives only IPv6")
	}
	u, err := listenUDP("udp4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if !batches(u) {
		t.Error("batches refuses a socket")
	}
	if u.Close(); batches(u) {
		t.Error("batches accepts a closed socket")
	}
}

// A file that is no socket gives no Conn.
func TestFilesThatAreNoSockets(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.Close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	one, other := os.NewFile(uintptr(fds[0]), "one"), os.NewFile(uintptr(fds[1]), "other")
	defer one.Close()
	defer other.Close()
	for what, c := range map[string]struct {
		file *os.File
		want error
	}{"no file": {nil, os.ErrInvalid}, "a closed file": {w, nil}, "a pipe": {r, unix.ENOTSOCK}, "a Unix socket": {one, unix.EOPNOTSUPP}} {
		if conn, err := newFile(c.file, netip.IPv4Unspecified(), Config{}); conn != nil || err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	raw, err := one.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(fds[1], []byte("hello"))
	b := make([]byte, 10)
	if n, from, err := newLook(raw)(b); n != 5 || from.IsValid() || err != nil {
		t.Errorf("a look at it: %d bytes from %v, %v; want 5 without an address", n, from, err)
	}
}

// A socket reports the local address of a datagram only if it has several addresses. It does
// not fragment.
func TestOptionsOfASocket(t *testing.T) {
	needIPv6(t, "[::1]:0")
	for _, c := range []struct {
		network, addr string
		inet6, wild   bool
	}{{"udp4", "127.0.0.1:0", false, false}, {"udp4", "0.0.0.0:0", false, true}, {"udp6", "[::1]:0", true, false}, {"udp", ":0", true, true}} {
		u, err := listenUDP(c.network, c.addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		raw, err := u.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			inet6, err := new(Conn).setOptions(int(fd), addrPort(u.LocalAddr()).Addr(), Config{})
			if err != nil || inet6 != c.inet6 {
				t.Errorf("%s: IPv6 %v, want %v; %v", c.addr, inet6, c.inet6, err)
			}
			option := func(what string, level, name, want int) {
				t.Helper()
				if got, err := unix.GetsockoptInt(int(fd), level, name); got != want || err != nil {
					t.Errorf("%s: %s is %d, want %d: %v", c.addr, what, got, want, err)
				}
			}
			yes := map[bool]int{true: 1}
			option("IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, yes[c.wild])
			option("IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
			option("SO_RXQ_OVFL", unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
			if c.inet6 {
				option("IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, yes[c.wild])
				option("IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
			}
			// If a buffer was granted with the FORCE option, the other option is not used.
			usual, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
			if n := setBuffer(int(fd), 10_000, unix.SO_RCVBUF, unix.SO_SNDBUF); n != usual {
				t.Errorf("granted by force: %d, want %d", n, usual)
			}
			if n := setBuffer(int(fd), 10_000, 9999, unix.SO_SNDBUF); n != 20_000 {
				t.Errorf("without force: %d, want twice 10,000", n)
			}
		})
	}
	if n := setBuffer(-1, 1, unix.SO_RCVBUF, unix.SO_RCVBUF); n != 0 {
		t.Errorf("the buffer of an invalid socket has %d bytes, want 0", n)
	}
}

func TestNamesOfZones(t *testing.T) {
	lo, err := net.InterfaceByIndex(1)
	if err != nil {
		t.Skipf("this machine has no first interface: %v", err)
	}
	for index, want := range map[uint32]string{0: "", 1: lo.Name, 1 << 30: "1073741824"} {
		if got := zone(index); got != want {
			t.Errorf("%d is %q, want %q", index, got, want)
		}
	}
}

// The kernel adds the total number of its drops to some datagrams.
func TestDropsAreCountedOnce(t *testing.T) {
	var n counters
	m := newMmsg(badRaw{}, false, netip.IPv6Loopback(), &n)
	ds := buffers(4, 20)
	m.prepareRead(ds)
	for i, drops := range []int{5, -1, 5, 7} {
		m.r.hdrs[i].Hdr.SetControllen(0)
		if drops >= 0 {
			putCmsg(m.r.ctls[i][:], cmsgData+overflowLen, unix.SOL_SOCKET, unix.SO_RXQ_OVFL)
			*(*uint32)(unsafe.Pointer(&m.r.ctls[i][cmsgData])) = uint32(drops)
			m.r.hdrs[i].Hdr.SetControllen(cmsgData + overflowLen)
		}
	}
	if k := m.collect(ds); k != 4 || n.kernelDrops.Load() != 7 || n.truncated.Load() != 0 {
		t.Errorf("%d datagrams, want 4; %d drops, want 7; %d truncated", k, n.kernelDrops.Load(), n.truncated.Load())
	}
}

// If the send buffer is full, the rest of a batch is dropped, in however many system calls the
// batch is sent.
func TestFullSendBufferOfALargeBatch(t *testing.T) {
	var c Conn
	m := newMmsg(shortQueue(t), false, netip.IPv6Loopback(), &c.counters) // bound: no control messages
	for i := range m.w.hdrs {
		m.w.hdrs[i].Hdr.Name = nil // to the other end
	}
	const all = 5000 // more than any queue of Unix sockets takes
	ds := to(netip.MustParseAddrPort("127.0.0.1:9"), all)
	n, err := m.write(ds)
	if s := c.Stats(); err != nil || n == 0 || n == all || s.Sent != uint64(n) || s.SendFull != uint64(all-n) {
		t.Errorf("%d of %d sent, %v; %+v; want some sent, and the rest counted in SendFull", n, all, err, s)
	}
}

// With optionVariable in its environment a test binary makes the kernel refuse one socket
// option to it: the number of the system call, the level and the option.
const optionVariable = "GODWIT_TEST_OPTION"

func refuseOption(call, level, option uint32) error {
	const number, args = 0, 16 // offsets in struct seccomp_data; args are 8 bytes each, the low half first
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 5},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: args + 8},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: level, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: args + 16},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: option, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	return sandbox(filter)
}

// If the system refuses an option without which answers could be sent from a wrong address,
// Listen returns an error and leaves no file open.
func TestOptionsThatAreRefused(t *testing.T) {
	if os.Getenv(optionVariable) != "" {
		listen(t, "127.0.0.1:0")
		before := descriptors(t)
		conns, err := Listen(":0", Config{})
		if !errors.Is(err, unix.EACCES) || conns != nil {
			t.Fatalf("Listen: %v, %v; want EACCES", conns, err)
		}
		if n := descriptors(t); n != before {
			t.Fatalf("%d files are left open, want 0", n-before)
		}
		os.Stdout.WriteString("refused: " + err.Error() + "\n")
		return
	}
	if runtime.GOARCH == "386" {
		t.Skip("socket options have no system call of their own here, by which a filter could tell them")
	}
	needIPv6(t, "[::1]:0")
	for want, option := range map[string][2]int{
		"IP_PKTINFO":       {unix.IPPROTO_IP, unix.IP_PKTINFO},
		"IPV6_RECVPKTINFO": {unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO},
	} {
		out := inSandbox(t, "^TestOptionsThatAreRefused$", fmt.Sprintf("%s=%d %d %d", optionVariable, unix.SYS_SETSOCKOPT, option[0], option[1]))
		if !strings.Contains(out, "refused: setsockopt "+want) {
			t.Errorf("%s:\n%s", want, out)
		}
	}
}
