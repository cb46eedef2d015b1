package udpio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// With sandboxVariable in its environment a test binary makes the kernel refuse system calls to
// it. The value has the number of the error, and then the numbers of the calls.
const sandboxVariable = "GODWIT_TEST_SANDBOX"

// refusing returns sandboxVariable with its value.
func refusing(errno unix.Errno, calls ...uint32) string {
	return sandboxVariable + "=" + strings.Trim(fmt.Sprint(append([]uint32{uint32(errno)}, calls...)), "[]")
}

// refusedCalls returns the error and the calls of sandboxVariable in the environment.
func refusedCalls() (errno unix.Errno, calls []uint32, err error) {
	for i, v := range strings.Fields(os.Getenv(sandboxVariable)) {
		n, e := strconv.ParseUint(v, 10, 32)
		if err = errors.Join(err, e); i == 0 {
			errno = unix.Errno(n)
		} else {
			calls = append(calls, uint32(n))
		}
	}
	return errno, calls, err
}

func TestMain(m *testing.M) {
	if os.Getenv(sandboxVariable) != "" {
		errno, calls, err := refusedCalls()
		if err == nil {
			err = refuseCalls(errno, calls)
		}
		needSandbox(err)
	}
	if v := os.Getenv(optionVariable); v != "" {
		var call, level, option uint32
		_, err := fmt.Sscan(v, &call, &level, &option)
		if err == nil {
			err = refuseOption(call, level, option)
		}
		needSandbox(err)
	}
	os.Exit(m.Run())
}

// noSandbox is the exit code of a child that the kernel lets not sandbox itself.
const noSandbox = 3

// needSandbox ends a child whose sandbox failed.
func needSandbox(err error) {
	if err != nil {
		os.Stderr.WriteString("sandbox: " + err.Error() + "\n")
		os.Exit(noSandbox)
	}
}

// inSandbox runs tests of this package in a child process with a variable, which makes the child sandbox itself. It returns
// what the child prints.
func inSandbox(t *testing.T, tests, variable string) string {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.v", "-test.run="+tests)
	child.Env = append(os.Environ(), variable)
	out, err := child.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == noSandbox {
		t.Skipf("this kernel lets no process sandbox itself: %s", out)
	}
	if err != nil {
		t.Errorf("%s with %s: %v\n%s", tests, variable, err, out)
	}
	return string(out)
}

// refuseCalls makes the kernel refuse these calls to every thread of this process.
// https://man7.org/linux/man-pages/man2/seccomp.2.html
func refuseCalls(errno unix.Errno, calls []uint32) error {
	const number = 0 // offset of the number of the system call in struct seccomp_data
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number}}
	for i, call := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: uint8(len(calls) - i)})
	}
	return sandbox(append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}))
}

// sandbox makes the kernel ask a filter for every system call of this process.
func sandbox(filter []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); e != 0 {
		return e
	}
	return nil
}

// A container's seccomp profile, or gVisor, may refuse the calls for many datagrams, both or one
// of them. The socket then moves them one by one.
func TestSandboxThatRefusesBatches(t *testing.T) {
	if os.Getenv(sandboxVariable) != "" {
		for _, c := range listenN(t, "127.0.0.1:0", Config{Sockets: 2}) {
			if c.Stats().Batched {
				t.Fatal("Batched = true, want one datagram for each call")
			}
		}
		return
	}
	for name, variable := range map[string]string{
		"both, ENOSYS": refusing(unix.ENOSYS, unix.SYS_RECVMMSG, unix.SYS_SENDMMSG),
		"both, EPERM":  refusing(unix.EPERM, unix.SYS_RECVMMSG, unix.SYS_SENDMMSG),
		"recvmmsg":     refusing(unix.ENOSYS, unix.SYS_RECVMMSG),
		"sendmmsg":     refusing(unix.ENOSYS, unix.SYS_SENDMMSG),
	} {
		t.Run(name, func(t *testing.T) {
			out := inSandbox(t, "^(TestSandboxThatRefusesBatches|TestEcho|TestSeveralSocketsShareAPort|TestEmptyDatagramIsADatagram|TestDeadlineWakesReader|TestDeadlineComes|TestCloseWakesReader)$",
				variable)
			if !strings.Contains(out, "--- PASS: TestEcho") {
				t.Errorf("TestEcho without batches:\n%s", out)
			}
		})
	}
}

// An overdue is a socket that gets another datagram that is too large each time it is read
// after its deadline.
type overdue struct {
	syscall.RawConn
	looks int
	send  func()
}

func (o *overdue) Control(f func(fd uintptr)) error {
	if o.looks++; o.looks > 100 {
		return net.ErrClosed
	}
	o.send()
	return o.RawConn.Control(f)
}

// Datagrams that are too large, and arrive faster than they are dropped, do not keep ReadBatch
// beyond its deadline: timers run on time.
func TestDatagramsThatAreTooLargeDoNotOutliveTheDeadline(t *testing.T) {
	u, err := listenUDP("udp4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	server := addrPort(u.LocalAddr())
	file, err := u.File()
	u.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	client := listen(t, "127.0.0.1:0")
	o := &overdue{RawConn: raw, send: func() { write(t, client, Datagram{Remote: server, B: make([]byte, 100)}) }}
	m := newMmsg(o, false, server.Addr(), new(counters))
	file.SetReadDeadline(time.Unix(1, 0))
	if _, err := m.read(buffers(4, 20)); err != os.ErrDeadlineExceeded || o.looks != 1 {
		t.Errorf("after %d looks: %v, want the deadline after one", o.looks, err)
	}
}

// Without batches, too, the datagrams that have arrived are read though the deadline has
// passed, and more than one at once. A server that always has something to do sets a deadline
// in the past each time, and would read nothing.
func TestOneByOneReadsWhatIsThereAfterTheDeadline(t *testing.T) {
	u, err := listenUDP("udp4", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	server := oneByOne(u, Config{})
	defer server.Close()
	client := listen(t, "127.0.0.1:0")
	server.SetReadDeadline(time.Unix(1, 0))
	for range 5 {
		write(t, client, Datagram{Remote: server.LocalAddr(), B: []byte("here")})
	}
	ds := buffers(4, 20)
	for _, want := range []int{4, 1} {
		n, err := server.ReadBatch(ds)
		if n != want || err != nil || string(ds[0].B) != "here" || ds[0].Remote != client.LocalAddr() {
			t.Fatalf("%d datagrams, %v, want %d; %q from %v", n, err, want, ds[0].B, ds[0].Remote)
		}
	}
	if _, err := server.ReadBatch(ds); err != os.ErrDeadlineExceeded {
		t.Errorf("the next read: %v, want ErrDeadlineExceeded", err)
	}

	raw, err := u.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	o := &overdue{RawConn: raw, send: func() { write(t, client, Datagram{Remote: server.LocalAddr(), B: make([]byte, 100)}) }}
	s := &single{pc: u, n: new(counters), look: newLook(o)}
	if _, err := s.read(ds); err != os.ErrDeadlineExceeded || o.looks != maxBatch {
		t.Errorf("too large ones: after %d looks: %v, want the deadline after %d", o.looks, err, maxBatch)
	}
	server.Close()
	if _, err := server.ReadBatch(ds); err != net.ErrClosed {
		t.Errorf("a read of a closed socket: %v, want net.ErrClosed", err)
	}
}

// A socket that the program has opened, such as one of systemd's, works like one that Listen has
// opened.
func TestTakenSocketMovesBatches(t *testing.T) {
	u, err := listenUDP("udp4", "0.0.0.0:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	server, err := Take(u, Config{ReadBuffer: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.SetReadDeadline(time.Now().Add(10 * time.Second))
	if s := server.Stats(); !s.Batched || s.ReadBuffer != 128<<10 {
		t.Errorf("batched is %v and the buffer %d bytes, want true and twice 64 KiB", s.Batched, s.ReadBuffer)
	}
	client := listen(t, "127.0.0.1:0")
	write(t, client, to(at("127.0.0.2", server), 1)...)
	asked := readAll(t, server, 1)
	if want := netip.MustParseAddr("127.0.0.2"); asked[0].Local != want {
		t.Fatalf("Local = %v, want %v", asked[0].Local, want)
	}
	write(t, server, asked...)
	if got, want := readAll(t, client, 1)[0].Remote, at("127.0.0.2", server); got != want {
		t.Errorf("the answer came from %v, want %v", got, want)
	}
}
