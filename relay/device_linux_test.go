package relay

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Addresses of BenchmarkDevice. All of them are on the link of the device.
var (
	deviceServer = netip.MustParseAddr("10.98.0.1")
	deviceNode   = netip.MustParseAddrPort("10.98.0.2:7777")
	deviceClient = netip.MustParseAddrPort("10.98.128.0:40000") // the first one
)

// BenchmarkDevice is BenchmarkRelay at a network device, as a server has it, instead of the loopback network. There the kernel gives
// each datagram to its receiver within the system call that sends it, so what a server sends costs the server the work for the receivers, too.
// At a device this is the work of other machines. The device is a TUN device in a network namespace of its own. Its other side, which never
// sleeps, is this process: the clients, and the node. Like many network cards the device computes checksums and divides messages
// (UDP_SEGMENT), so the kernel need not do that.
func BenchmarkDevice(b *testing.B) {
	eachServer(b, func(b *testing.B, kind string, flying int) {
		d := newDevice(b)
		server := deviceServer.String() + ":0"
		measureServer(b, flying, func(to netip.AddrPort) world {
			d.server = to
			return world{d.enter, d.run, func() error { return unix.Close(d.fd) }}
		}, kind, server, server, deviceNode.String())
	})
}

// A device is a TUN device and what is behind it.
type device struct {
	b      *testing.B
	fd     int
	server netip.AddrPort
	packet [1 << 16]byte
}

// What is before the payload of a packet, from its first byte on.
// https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html#x1-2360006
const (
	segmentAt = 4  // in the header of virtio-net: the length of each datagram
	ipAt      = 10 // behind it
	udpAt     = ipAt + 20
	payloadAt = udpAt + 8

	udp = 17 // the protocol number
)

// newDevice makes a device in a new network namespace, in which this goroutine is from now on, with the processes that it starts. Both
// end with the goroutine.
func newDevice(b *testing.B) *device {
	b.Helper()
	skip := func(what string, err error) {
		if err != nil {
			b.Skipf("NOT RUN: %s: %v: the benchmark needs root and a TUN device", what, err)
		}
	}
	runtime.LockOSThread() // and never unlocks it, so the thread ends with the goroutine
	skip("a network namespace", unix.Unshare(unix.CLONE_NEWNET))
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	skip("/dev/net/tun", err)
	request, err := unix.NewIfreq("bench")
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	skip("TUNSETIFF", err)
	skip("TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_USO4|unix.TUN_F_USO6))
	for _, c := range []string{"link set lo up", "addr add 10.98.0.1/16 dev bench", "link set bench up"} {
		out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput()
		skip("ip "+c+": "+string(out), err)
	}
	return &device{b: b, fd: fd}
}

// read returns the next packet that the server has sent, or nil if there is none.
func (d *device) read() []byte {
	for {
		n, err := unix.Read(d.fd, d.packet[:])
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			d.b.Fatal(os.NewSyscallError("read", err))
		}
		if p := d.packet[:n]; n >= payloadAt && p[ipAt] == 4<<4|5 && p[ipAt+9] == udp { // else the kernel looks for a router
			return p
		}
	}
}

func (d *device) write(p []byte) {
	if _, err := unix.Write(d.fd, p); err != nil {
		d.b.Fatal(os.NewSyscallError("write", err))
	}
}

// back sends a packet back to where it came from. The checksums stay as they are: they are sums.
func (d *device) back(p []byte) {
	from, to := [4]byte(p[ipAt+12:]), [4]byte(p[ipAt+16:])
	copy(p[ipAt+12:], to[:])
	copy(p[ipAt+16:], from[:])
	fromPort, toPort := [2]byte(p[udpAt:]), [2]byte(p[udpAt+2:])
	copy(p[udpAt:], toPort[:])
	copy(p[udpAt+2:], fromPort[:])
	d.write(p)
}

// send sends a datagram of client i. It has no checksum of UDP.
func (d *device) send(i int, payload []byte) {
	p := make([]byte, payloadAt, payloadAt+len(payload))
	ip := p[ipAt:]
	ip[0], ip[8], ip[9] = 4<<4|5, 64, udp
	binary.BigEndian.PutUint16(ip[2:], uint16(payloadAt-ipAt+len(payload)))
	client, server := deviceClient.Addr().As4(), d.server.Addr().As4()
	binary.BigEndian.PutUint16(client[2:], binary.BigEndian.Uint16(client[2:])+uint16(i))
	copy(ip[12:], client[:])
	copy(ip[16:], server[:])
	var sum uint32
	for i := 0; i < udpAt-ipAt; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(p[udpAt:], deviceClient.Port())
	binary.BigEndian.PutUint16(p[udpAt+2:], d.server.Port())
	binary.BigEndian.PutUint16(p[udpAt+4:], uint16(payloadAt-udpAt+len(payload)))
	d.write(append(p, payload...))
}

// pass waits for packets of the server until the deadline, and returns the next one for a client, or nil. It answers those for the node.
func (d *device) pass(within time.Duration) []byte {
	node := deviceNode.Addr().As4()
	for end := time.Now().Add(within); ; {
		p := d.read()
		switch {
		case p == nil && time.Now().After(end):
			return nil
		case p == nil:
		case [4]byte(p[ipAt+16:]) == node:
			rest := p[payloadAt:]
			size := len(rest)
			if n := binary.NativeEndian.Uint16(p[segmentAt:]); n > 0 {
				size = int(n)
			}
			for len(rest) > 0 {
				answerAsNode(rest)
				rest = rest[min(size, len(rest)):]
			}
			d.back(p)
		default:
			return p
		}
	}
}

const deviceTime = 200 * time.Millisecond // after which a datagram is lost

// enter makes the relay know all clients.
func (d *device) enter() {
	answered := make(map[[4]byte]bool)
	for range 100 {
		for i := range benchClients {
			d.send(i, check(1))
		}
		for len(answered) < benchClients {
			p := d.pass(deviceTime)
			if p == nil {
				break
			}
			answered[[4]byte(p[ipAt+16:])] = true
		}
		if len(answered) == benchClients {
			return
		}
	}
	d.b.Fatalf("%d of %d clients have an answer", len(answered), benchClients)
}

// run makes n datagrams come back, of which at most window are on their way at a time, and returns how many were lost.
func (d *device) run(n, window int) (lost int) {
	payload := benchPayload()
	for flying := 0; n > 0; {
		if flying == 0 {
			for flying < min(n, window) {
				d.send(flying%benchClients, payload)
				flying++
			}
		}
		switch p := d.pass(deviceTime); {
		case p == nil:
			lost, flying = lost+flying, 0
		case n > flying:
			n--
			d.back(p)
		default:
			n--
			flying--
		}
	}
	return lost
}
