package udpio

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPoll is the largest number of sockets of a Poll.
const maxPoll = 8

// A Poll waits for datagrams of several sockets. One goroutine at a time may call Wait. Close may be called at
// any time from any goroutine.
//
// It is an epoll of its own, for which the goroutine waits with the runtime's: a thread that waits in a system call
// would cost more, because the runtime watches such threads every 20 µs.
type Poll struct {
	conns []*Conn
	file  *os.File
	raw   syscall.RawConn

	// The func values for raw, made once.
	look    func(fd uintptr) bool
	lookNow func(fd uintptr)

	found [maxPoll]unix.EpollEvent
	n     int
	errno syscall.Errno
}

// longAgo is a read deadline that has passed.
var longAgo = time.Unix(1, 0)

// NewPoll returns a Poll for sockets, at most 8, in whose ReadBatch nobody waits any more: their read deadline is
// long ago, so ReadBatch returns [os.ErrDeadlineExceeded] if there is no datagram. The error is
// [errors.ErrUnsupported] if one of them does not move many datagrams with a system call: then nothing has changed.
func NewPoll(conns ...*Conn) (*Poll, error) {
	if len(conns) > maxPoll {
		return nil, errors.ErrUnsupported
	}
	for _, c := range conns {
		if c.raw == nil {
			return nil, errors.ErrUnsupported
		}
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	unix.SetNonblock(fd, true) // so that an os.File waits with the runtime; add notices if it does not
	p := &Poll{conns: conns, file: os.NewFile(uintptr(fd), "epoll")}
	if err := p.add(fd, conns); err != nil {
		p.file.Close()
		return nil, err
	}
	for _, c := range conns {
		c.SetReadDeadline(longAgo)
	}
	p.look, p.lookNow = p.lookAt, func(fd uintptr) { p.lookAt(fd) }
	return p, nil
}

// add adds the sockets to the epoll, and prepares the wait.
func (p *Poll) add(epoll int, conns []*Conn) (err error) {
	for i, c := range conns {
		e := c.raw.Control(func(fd uintptr) {
			err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
		})
		if e != nil {
			return net.ErrClosed
		}
		if err != nil {
			return os.NewSyscallError("epoll_ctl", err)
		}
	}
	p.raw, _ = p.file.SyscallConn()            // fails only without a file
	return p.file.SetReadDeadline(time.Time{}) // fails if the runtime cannot wait for an epoll
}

// Wait waits until a socket has datagrams, or an error. It returns the bit 1<<i for each such socket i of NewPoll.
// After Close it returns [net.ErrClosed].
func (p *Poll) Wait() (ready uint, err error) {
	for i, c := range p.conns {
		if c.pending != nil && c.pending() {
			ready |= 1 << i
		}
	}
	if ready == 0 {
		err = p.raw.Read(p.look)
	} else {
		err = p.raw.Control(p.lookNow)
	}
	if err != nil {
		return 0, net.ErrClosed
	}
	if p.errno != 0 {
		return 0, os.NewSyscallError("epoll_pwait", p.errno)
	}
	for _, e := range p.found[:p.n] {
		ready |= 1 << e.Fd
	}
	return ready, nil
}

// lookAt asks which sockets are ready. It returns false if there is none.
func (p *Poll) lookAt(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&p.found[0])), maxPoll, 0, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		p.n, p.errno = int(n), errno
		return n != 0 // it is -1 after an error
	}
}

// Close ends the Poll, but not its sockets. A waiting Wait returns [net.ErrClosed].
func (p *Poll) Close() error { return closeFile(p.file) }
