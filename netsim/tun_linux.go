package netsim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

const tunFile = "/dev/net/tun"

// openTunEnd makes the device of one end. addrs are those of an end without addresses;
// gateway says that all traffic of the namespace goes through the device.
func openTunEnd(c TunEnd, addrs []netip.Prefix, mtu int, gateway bool) (e tunEnd, err error) {
	if c.Addrs == nil {
		c.Addrs = addrs
		if !hasIPv6() {
			c.Addrs = addrs[:1]
		}
	}
	for _, a := range c.Addrs {
		if !a.IsValid() || a.Addr().Is4In6() || a.Addr().Zone() != "" {
			return e, fmt.Errorf("%v is not an address with the length of a prefix, such as 10.98.0.1/24", a)
		}
	}
	n, err := openNamespace(c.Namespace)
	if err != nil {
		return e, err
	}
	for _, a := range c.Addrs {
		n.addrs = append(n.addrs, a.Addr())
	}
	var device *os.File
	err = n.Do(func() (err error) {
		if device, err = openTunDevice(c.Device); err != nil {
			return err
		}
		return configureTun(device.Name(), c.Addrs, mtu, n.own, gateway)
	})
	if err != nil {
		if device != nil {
			device.Close()
		}
		return e, errors.Join(err, n.close())
	}
	return tunEnd{device: device, space: n}, nil
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// openTunDevice makes a device in the namespace of this thread. The device exists until the
// file is closed.
func openTunDevice(name string) (*os.File, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a name of a device: at most %d bytes", name, unix.IFNAMSIZ-1)
	}
	fd, err := unix.Open(tunFile, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, unsupported(`no %s: "modprobe tun" loads the module, and "mkdir -p /dev/net && mknod %[1]s c 10 200" makes the file`, tunFile)
	case err != nil:
		return nil, needsRoot(tunFile, err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return nil, needsRoot("TUN device "+name, err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0); err != nil { // nothing is merged, and checksums are complete
		unix.Close(fd)
		return nil, fmt.Errorf("TUN device %s: %w", request.Name(), err)
	}
	return os.NewFile(uintptr(fd), request.Name()), nil
}

// configureTun gives a device its addresses and routes, and sets it up. fresh says that the
// namespace is a new one.
func configureTun(name string, addrs []netip.Prefix, mtu int, fresh, gateway bool) error {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("TUN device %s: %w", name, err)
	}
	k, err := openNetlink()
	if err != nil {
		return err
	}
	defer k.close()
	if fresh {
		k.up("the loopback device", 1, nil) // always the first of a namespace
	}
	attrs := appendAttr32(appendAttr32(nil, unix.IFLA_MTU, uint32(mtu)), unix.IFLA_TXQLEN, tunQueue)
	if hasIPv6() {
		// The kernel looks for no router. If this fails, a packet more or three pass.
		os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/router_solicitations", []byte("0"), 0)
		attrs = appendAttr(attrs, unix.IFLA_AF_SPEC, appendAttr(nil, unix.AF_INET6, appendAttr(nil, unix.IFLA_INET6_ADDR_GEN_MODE, []byte{noAutomaticAddr})))
	}
	k.up("TUN device "+name, device.Index, attrs)
	routed := make(map[byte]bool) // families
	for _, a := range addrs {
		k.addAddr(device.Index, a)
		if f := family(a.Addr()); gateway && !routed[f] {
			routed[f] = true
			k.addDefaultRoute(device.Index, f)
		}
	}
	return k.err
}

// tunQueue is the number of packets that wait in the kernel until they are read. A packet
// that is not read at once must not be lost in an uncounted way.
const tunQueue = 10_000

// noAutomaticAddr is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h: the kernel gives the device no
// link-local address, and sends nothing for one.
const noAutomaticAddr = 1

// openNamespace opens the namespace of a file, or makes a new one.
func openNamespace(name string) (*Namespace, error) {
	if name != "" {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("namespace: %w", err)
		}
		return &Namespace{file: file, name: name}, nil
	}
	n := &Namespace{own: true}
	err := (&Namespace{}).Do(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
			return unsupported("this kernel has no network namespaces: %v", err)
		} else if err != nil {
			return needsRoot("a new network namespace", err)
		}
		n.file, err = os.Open(threadNamespace)
		return err
	})
	if err != nil {
		return nil, err
	}
	n.name = "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(int(n.file.Fd()))
	return n, nil
}

const threadNamespace = "/proc/thread-self/ns/net"

// enter runs f on a thread in the namespace, and takes the thread back. Without a file it
// does not change the namespace before f.
func (n *Namespace) enter(f func() error) error {
	runtime.LockOSThread() // a thread that cannot go back ends with the goroutine
	home, err := os.Open(threadNamespace)
	if err != nil {
		return err
	}
	defer home.Close()
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	if n.file != nil {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return needsRoot("namespace "+n.name, err)
		}
	}
	return f()
}

func (n *Namespace) same(m *Namespace) bool {
	a, err1 := n.file.Stat()
	b, err2 := m.file.Stat()
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// needsRoot says more of an error if the process has not the rights.
func needsRoot(what string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return unsupported("%s: %v: it needs root, with CAP_NET_ADMIN and CAP_SYS_ADMIN", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errors.ErrUnsupported)
}
