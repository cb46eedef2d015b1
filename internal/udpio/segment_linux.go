package udpio

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// maxRun is the largest payload of one message: that of the largest datagram of IPv6.
const maxRun = 65535 - 40 - 8

// segmentLen is the length of the control message that UDP_SEGMENT needs: a uint16.
const segmentLen = cmsgData + wordLen

// canSegment reports whether the kernel knows UDP_SEGMENT. An older kernel would ignore the control message and
// send one large datagram.
// https://man7.org/linux/man-pages/man7/udp.7.html
func canSegment(fd int) bool {
	_, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	return err == nil
}

// run returns how many datagrams at the beginning of ds one message can carry: those with the addresses and the
// length of the first. The last of them may be shorter.
func run(ds []Datagram) int {
	first, size := &ds[0], len(ds[0].B)
	if size == 0 {
		return 1
	}
	n := 1
	for total := size; n < len(ds); n++ {
		d := &ds[n]
		total += len(d.B)
		if d.Remote != first.Remote || d.Local != first.Local || len(d.B) == 0 || len(d.B) > size || total > maxRun {
			break
		}
		if len(d.B) < size {
			return n + 1
		}
	}
	return n
}

// putSegment writes the message that makes the kernel divide a payload into datagrams of size bytes, and returns
// its length.
func putSegment(b []byte, size int) int {
	putCmsg(b, cmsgData+2, unix.SOL_UDP, unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(b[cmsgData:], uint16(size))
	return segmentLen
}

// sendApart sends the datagrams of message i one by one, after the kernel has refused them together. It returns
// true if the buffer is full.
func (m *mmsg) sendApart(fd uintptr, i int) (full bool) {
	h := &m.w
	first, n := int(h.firsts[i]), int(h.runs[i])
	h.single = h.hdrs[i]
	h.single.Hdr.SetIovlen(1)
	h.single.Hdr.SetControllen(int(h.single.Hdr.Controllen) - segmentLen)
	for k := range n {
		h.single.Hdr.Iov = &h.iovs[first+k]
		errno := unix.EINTR
		for errno == unix.EINTR {
			_, errno = sendmmsg(fd, &h.single, 1)
		}
		if errno == 0 {
			h.done++
		} else if m.n.drop(errno) {
			m.n.full.Add(uint64(n - k - 1))
			return true
		}
	}
	return false
}
