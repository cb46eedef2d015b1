package udpio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsg moves datagrams with recvmmsg and sendmmsg.
// https://man7.org/linux/man-pages/man2/recvmmsg.2.html
//
// The goroutine in ReadBatch owns the reading half, the goroutine in WriteBatch the
// writing half.
//
// The calls are raw system calls, because with MSG_DONTWAIT they never wait. They take
// longer than the time after which the scheduler of Go gives the processor to another
// thread. For a call that only computes, this would cost 2 µs for each datagram.
type mmsg struct {
	raw   syscall.RawConn
	inet6 bool
	bound netip.Addr // the one address of the socket; the zero Addr if it is wild
	n     *counters

	r      half
	drops  uint32  // the last value of the kernel's counter of drops
	groups *groups // nil if a message is always one datagram

	w        half
	segments bool // datagrams to one address leave together; the kernel divides them

	// The func values for raw, made once: a new one for each call would be an allocation.
	recvFunc    func(fd uintptr) bool
	recvNowFunc func(fd uintptr)
	sendFunc    func(fd uintptr) bool
}

// half is the memory of the calls in one direction, with the arguments and results of
// the present call.
type half struct {
	hdrs  [maxBatch]unix.Mmsghdr
	iovs  [maxBatch]unix.Iovec
	names [maxBatch][sa6Len]byte
	ctls  [maxBatch][controlLen]byte

	// send: message i has the runs[i] datagrams from iovs[firsts[i]] on; single is used for one of them
	firsts, runs [maxBatch]uint8
	single       unix.Mmsghdr

	n     int           // messages to move
	done  int           // messages moved
	errno syscall.Errno // recv: why there are none
	full  bool          // send: the buffer is full
}

func newMmsg(raw syscall.RawConn, inet6 bool, bound netip.Addr, n *counters) *mmsg {
	m := &mmsg{raw: raw, inet6: inet6, n: n}
	if !bound.IsUnspecified() {
		m.bound = bound
	}
	m.recvFunc, m.recvNowFunc, m.sendFunc = m.recv, m.recvNow, m.send
	for _, h := range []*half{&m.r, &m.w} {
		for i := range h.hdrs {
			h.hdrs[i].Hdr.Iov = &h.iovs[i]
			h.hdrs[i].Hdr.SetIovlen(1)
			h.hdrs[i].Hdr.Name = &h.names[i][0]
			h.runs[i] = 1
		}
	}
	return m
}

// setPayload makes b the memory of message i.
func (h *half) setPayload(i int, b []byte) {
	h.iovs[i].Base = unsafe.SliceData(b)
	h.iovs[i].SetLen(len(b))
}

// read reads until ds is full or nothing is waiting: a caller may conclude from a batch that is not full that no more is there.
func (m *mmsg) read(ds []Datagram) (int, error) {
	ds = ds[:min(len(ds), maxBatch)]
	n := 0
	if m.groups != nil {
		n = m.groups.divide(ds, m.n)
	}
	for reads := 1; n < len(ds); reads++ {
		in := ds[n:]
		if m.groups != nil {
			in = m.groups.in
		}
		k, overdue, err := m.receive(in, n == 0)
		switch {
		case err != nil && n == 0:
			return 0, err
		case err != nil: // nothing more, or the next read finds the error
			return m.took(n), nil
		case m.groups != nil:
			m.groups.n, m.groups.next = k, 0
			k = m.groups.divide(ds[n:], m.n)
		}
		n += k
		switch full := m.r.done == len(in); {
		case full && reads < maxReads:
		case n > 0:
			return m.took(n), nil
		case overdue:
			return 0, os.ErrDeadlineExceeded // all were too large, and more of them may come
		}
	}
	return m.took(n), nil
}

// receive is one successful recvmmsg, of at most len(in) messages. It returns how many of them are whole. With wait it waits
// for the first one until the deadline; overdue says that the deadline has passed, and that it has not waited.
func (m *mmsg) receive(in []Datagram, wait bool) (n int, overdue bool, err error) {
	for failures := 0; failures < maxReadErrors; {
		m.prepareRead(in)
		if wait {
			err = m.raw.Read(m.recvFunc)
			overdue = errors.Is(err, os.ErrDeadlineExceeded)
		}
		if overdue || !wait {
			err = m.raw.Control(m.recvNowFunc)
		}
		switch {
		case err != nil:
			return 0, overdue, net.ErrClosed
		case m.r.errno == unix.EAGAIN:
			return 0, overdue, os.ErrDeadlineExceeded
		case m.r.errno != 0:
			m.n.readErrors.Add(1)
			failures++
		default:
			return m.collect(in[:m.r.done]), overdue, nil
		}
	}
	return 0, overdue, os.NewSyscallError("recvmmsg", m.r.errno)
}

// took counts n datagrams that are given to the caller, and returns n.
func (m *mmsg) took(n int) int {
	m.n.received.Add(uint64(n))
	return n
}

func (m *mmsg) prepareRead(ds []Datagram) {
	h := &m.r
	h.n = len(ds)
	for i := range ds {
		h.setPayload(i, ds[i].B[:cap(ds[i].B)])
		hdr := &h.hdrs[i].Hdr
		hdr.Namelen = sa6Len
		hdr.Control = &h.ctls[i][0]
		hdr.SetControllen(controlLen)
	}
}

// recv is one recvmmsg. It returns false if there is nothing to read yet.
func (m *mmsg) recv(fd uintptr) bool {
	m.recvNow(fd)
	return m.r.errno != unix.EAGAIN
}

func (m *mmsg) recvNow(fd uintptr) {
	h := &m.r
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&h.hdrs[0])), uintptr(h.n), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		h.done, h.errno = int(n), errno
		return
	}
}

// collect fills in the messages that have been read, the whole ones first, and
// returns how many are whole.
func (m *mmsg) collect(ds []Datagram) int {
	k := 0
	for i := range ds {
		hdr := &m.r.hdrs[i].Hdr
		c := parseControl(m.r.ctls[i][:min(hdr.Controllen, controlLen)])
		if c.hasDrops && c.drops != m.drops {
			m.n.kernelDrops.Add(uint64(c.drops - m.drops))
			m.drops = c.drops
		}
		if hdr.Flags&unix.MSG_TRUNC != 0 {
			continue
		}
		ds[k].B, ds[i].B = ds[i].B, ds[k].B
		d := &ds[k]
		d.B = d.B[:m.r.hdrs[i].Len]
		d.Remote = parseSockaddr(m.r.names[i][:min(hdr.Namelen, sa6Len)])
		if d.Local = c.local; m.bound.IsValid() {
			d.Local = m.bound
		}
		if m.groups != nil {
			m.groups.sizes[k] = c.size
		}
		k++
	}
	if k < len(ds) {
		m.n.truncated.Add(uint64(len(ds) - k))
	}
	return k
}

func (m *mmsg) write(ds []Datagram) (int, error) {
	sent := 0
	for len(ds) > 0 {
		chunk := ds[:min(len(ds), maxBatch)]
		ds = ds[len(chunk):]
		m.prepareWrite(chunk)
		if err := m.raw.Write(m.sendFunc); err != nil {
			return sent, net.ErrClosed
		}
		sent += m.w.done
		m.n.sent.Add(uint64(m.w.done))
		if m.w.full {
			m.n.full.Add(uint64(len(ds)))
			break
		}
	}
	return sent, nil
}

// prepareWrite encodes the datagrams that this socket can send.
func (m *mmsg) prepareWrite(ds []Datagram) {
	h := &m.w
	h.n = 0
	for used := 0; len(ds) > 0; {
		d, together := &ds[0], 1
		n := putSockaddr(&h.names[h.n], d.Remote, m.inet6)
		if n == 0 {
			m.n.failed.Add(1)
			ds = ds[1:]
			continue
		}
		if m.segments {
			together = run(ds)
		}
		hdr := &h.hdrs[h.n].Hdr
		hdr.Namelen = n
		hdr.Control = &h.ctls[h.n][0]
		size := 0
		if !m.bound.IsValid() {
			size = putControl(&h.ctls[h.n], d.Local, d.Remote.Addr())
		}
		if together > 1 {
			size += putSegment(h.ctls[h.n][size:], len(d.B))
		}
		hdr.SetControllen(size)
		hdr.Iov = &h.iovs[used]
		hdr.SetIovlen(together)
		for i := range ds[:together] {
			h.setPayload(used+i, ds[i].B)
		}
		h.firsts[h.n], h.runs[h.n] = uint8(used), uint8(together)
		h.n++
		used += together
		ds = ds[together:]
	}
}

// send calls sendmmsg until every message is sent or dropped: the call stops at
// a message that fails, and reports why only if it is the first. It always
// returns true, so that RawConn.Write never waits for room.
func (m *mmsg) send(fd uintptr) bool {
	h := &m.w
	h.done, h.full = 0, false
	for i := 0; i < h.n && !h.full; {
		n, errno := sendmmsg(fd, &h.hdrs[i], h.n-i)
		switch {
		case errno == unix.EINTR:
		case errno == 0:
		case h.runs[i] > 1 && errno != unix.EAGAIN && errno != unix.ENOBUFS:
			if errno == unix.EIO { // this device cannot
				m.segments = false
			}
			h.full = m.sendApart(fd, i)
			i++
		default:
			if h.full = m.n.drop(errno); h.full {
				m.n.full.Add(uint64(h.runs[i] - 1))
			}
			i++
		}
		for range n {
			h.done += int(h.runs[i])
			i++
		}
		if h.full {
			for _, k := range h.runs[i:h.n] {
				m.n.full.Add(uint64(k))
			}
		}
	}
	return true
}

// sendmmsg sends n messages, and returns how many it has sent: none if there is an error.
func sendmmsg(fd uintptr, first *unix.Mmsghdr, n int) (sent int, errno syscall.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(first)), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}
