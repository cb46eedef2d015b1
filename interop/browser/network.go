package browser

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// network is a namespace with one veth pair into it:
//
//	test process, relay          │ namespace godwitN
//	10.99.N.1/24 on godwitN ─────┼──── 10.99.N.2/24 on eth0, default route ── browser
//
// A lock on a file reserves N; the kernel drops the lock when the process ends. So two test
// binaries never share a namespace. A namespace whose N can be locked is left over from a
// process that has ended, and may be removed.
type network struct {
	lock    *os.File
	name    string // of the namespace and of the host's end of the pair
	temp    string // directory of the browsers' profiles and of Dir
	host    netip.Addr
	filters bool // nftables has dropRules

	certificate *certificate
}

// maxNetworks bounds N. One machine runs a handful of test binaries at a time.
const maxNetworks = 64

// Host returns the address on which a test serves its pages and its UDP ports,
// the only one the browser can reach.
func Host(t testing.TB) netip.Addr {
	t.Helper()
	return needNetwork(t).host
}

// PublicHost gives the test process a second address that the browser can reach, until the test ends. It is an address
// of the internet, as far as the browser knows.
func PublicHost(t testing.TB) netip.Addr {
	t.Helper()
	n := needNetwork(t)
	b := n.host.As4()
	b[0] = 11
	a := netip.AddrFrom4(b)
	if err := ip("addr add " + a.String() + "/32 dev " + n.name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ip("addr del " + a.String() + "/32 dev " + n.name); err != nil {
			t.Error(err)
		}
	})
	return a
}

// Dir returns a directory for files of several tests. It is removed when the tests have ended.
func Dir(t testing.TB) string {
	t.Helper()
	return needNetwork(t).temp
}

func newNetwork() (*network, error) {
	var mine *network
	for i := range maxNetworks {
		n, err := lockNetwork(i)
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue // another process uses it
		}
		if err := n.clean(); err != nil {
			n.lock.Close()
			return nil, err
		}
		if mine != nil {
			n.lock.Close()
			continue
		}
		mine = n
	}
	if mine == nil {
		return nil, fmt.Errorf("all %d are in use", maxNetworks)
	}
	err := mine.add()
	if err == nil {
		mine.certificate, err = newCertificate()
	}
	if err != nil {
		return nil, errors.Join(err, mine.remove())
	}
	return mine, nil
}

// lockNetwork returns network i, or nil if another process holds it.
func lockNetwork(i int) (*network, error) {
	dir := filepath.Join(os.TempDir(), "godwit-interop")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(i)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, err
	}
	return &network{
		lock: lock,
		name: "godwit" + strconv.Itoa(i),
		temp: filepath.Join(dir, strconv.Itoa(i)+".tmp"),
		host: netip.AddrFrom4([4]byte{10, 99, byte(i), 1}),
	}, nil
}

func (n *network) add() error {
	if err := os.Mkdir(n.temp, 0o700); err != nil {
		return err
	}
	inside := n.host.Next()
	err := ip("netns add "+n.name, "link add "+n.name+" type veth peer name eth0 netns "+n.name)
	if err != nil {
		return err
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		// Otherwise eth0 gets an IPv6 address after 2 s, a change of network at which Chromium breaks off what it loads.
		if err := ip("-n " + n.name + " link set eth0 addrgenmode none"); err != nil {
			return err
		}
	}
	err = ip(
		"addr add "+n.host.String()+"/24 dev "+n.name,
		"link set "+n.name+" up",
		"-n "+n.name+" addr add "+inside.String()+"/24 dev eth0",
		"-n "+n.name+" link set lo up",
		"-n "+n.name+" link set eth0 up",
		"-n "+n.name+" route add default via "+n.host.String()+" metric 100", // below that of a Tun
	)
	if err != nil {
		return err
	}
	// On a machine that forwards, such as a router or a container host, nothing
	// the browser sends may go further than this process.
	return os.WriteFile(filepath.Join("/proc/sys/net/ipv4/conf", n.name, "forwarding"), []byte("0"), 0)
}

// remove ends the processes in the namespace, removes the namespace, the veth pair and the
// profiles, and unlocks N.
func (n *network) remove() error {
	defer n.lock.Close()
	return n.clean()
}

func (n *network) clean() error {
	if err := n.deleteNamespace(); err != nil {
		return err
	}
	return os.RemoveAll(n.temp)
}

func (n *network) deleteNamespace() error {
	if _, err := os.Stat(n.file()); err != nil {
		return nil
	}
	if err := n.killAll(); err != nil {
		return err
	}
	if err := ip("netns del " + n.name); err != nil {
		return err
	}
	// A namespace exists until its last process has ended, and so does the pair. The next user
	// of N must not find the old pair.
	if _, err := os.Stat(filepath.Join("/sys/class/net", n.name)); err == nil {
		exec.Command("ip", "link", "del", n.name).Run() // fails if the kernel was faster
	}
	return nil
}

// killAll ends every process in the namespace and waits until they have ended. This test, or
// a test that has ended, has started them.
func (n *network) killAll() error {
	for range 500 {
		out, err := exec.Command("ip", "netns", "pids", n.name).Output()
		if err != nil {
			return err
		}
		pids := strings.Fields(string(out))
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if p, err := strconv.Atoi(pid); err == nil {
				syscall.Kill(p, syscall.SIGKILL)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("processes in %s do not end", n.name)
}

// ip runs the commands of iproute2 in order and stops at the first that fails.
func ip(commands ...string) error {
	for _, c := range commands {
		out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", c, err, out)
		}
	}
	return nil
}

// Namespace returns the file of the browsers' namespace.
func Namespace(t testing.TB) string {
	t.Helper()
	return needNetwork(t).file()
}

func (n *network) file() string { return filepath.Join("/run/netns", n.name) }
