package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// firstPassed is the first descriptor that systemd passes: SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstPassed = 3

// passed returns the sockets that systemd has passed to this process, as sd_listen_fds(3) says: at most one of UDP and one
// of TCP, or of a Unix socket. Each is nil if there is none.
func passed(env func(string) string, pid int) (udp net.PacketConn, tcp net.Listener, err error) {
	if env("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil, nil
	}
	n, err := strconv.Atoi(env("LISTEN_FDS"))
	if err != nil {
		return nil, nil, fmt.Errorf("LISTEN_FDS: %w", err)
	}
	for fd := firstPassed; fd < firstPassed+n; fd++ {
		f := os.NewFile(uintptr(fd), "socket "+strconv.Itoa(fd))
		l, noListener := net.FileListener(f)
		p, noPacket := net.FilePacketConn(f)
		f.Close() // l or p is a copy
		switch {
		case noListener == nil && tcp == nil:
			tcp = l
		case noPacket == nil && udp == nil:
			udp = p
		default:
			return nil, nil, fmt.Errorf("socket %d of %d: %w", fd-firstPassed+1, n, errors.Join(errPassed, noListener, noPacket))
		}
	}
	return udp, tcp, nil
}

var errPassed = errors.New("the unit must have one ListenDatagram and one ListenStream")
