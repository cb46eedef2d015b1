package doctor

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A MachineConfig says what Machine looks at.
type MachineConfig struct {
	// Port is the UDP port of the server. Zero means that no socket is looked at.
	Port uint16

	// URL is that of Config; if it is not empty, the addresses that the server tells are compared with
	// those of this machine. Token is the token for that.
	URL, Token string

	// Root is the directory with /proc, for tests. Empty means the root of the file system.
	Root string

	// Pause is the time between two looks at the counters. Zero means 1 s.
	Pause time.Duration
}

// wantBuffer is the size that a server asks for its socket's buffers (rtcserver.Settings.ReadBuffer).
const wantBuffer = 4 << 20

// fewFiles is a limit of open files below which a server with many WebSockets gets into trouble.
const fewFiles = 4096

// A machine is one look at the machine of the server.
type machine struct {
	reporter
	config MachineConfig
}

// Machine looks at the machine on which it runs, which is that of the server: the buffers of sockets,
// datagrams that the kernel has dropped, the socket of the server, connection tracking, limits of files,
// and the addresses that the server tells. It needs Linux.
func Machine(ctx context.Context, c MachineConfig, report func(Result)) error {
	m := &machine{reporter{report}, c}
	if _, err := m.read("proc/net/snmp"); err != nil {
		return fmt.Errorf("this system has no /proc/net: the machine is checked on Linux only (%w)", err)
	}
	m.checkBuffers()
	m.checkDrops(ctx)
	m.checkSockets()
	m.checkConntrack()
	if c.URL != "" {
		return m.checkAddresses(ctx)
	}
	m.skip("address", "give the URL, too, to compare the addresses that the server tells with those of this machine")
	return ctx.Err()
}

func (m *machine) read(name string) (string, error) {
	root := m.config.Root
	if root == "" {
		root = "/"
	}
	b, err := os.ReadFile(filepath.Join(root, name))
	return strings.TrimSpace(string(b)), err
}

func (m *machine) number(name string) (int, bool) {
	text, err := m.read(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// checkBuffers compares the limits of the kernel with what a server asks for.
func (m *machine) checkBuffers() {
	for _, one := range []struct{ name, what string }{{"rmem_max", "receiving"}, {"wmem_max", "sending"}} {
		n, ok := m.number("proc/sys/net/core/" + one.name)
		switch {
		case !ok:
			m.skip("buffers", "net.core.%s is not there: this is a container; look on its host", one.name)
		case n < wantBuffer:
			m.warn("buffers", FaultBuffer, fmt.Sprintf("sysctl -w net.core.%s=%d, and a line net.core.%[1]s=%[2]d in /etc/sysctl.d/godwit.conf; or give the server CAP_NET_ADMIN", one.name, wantBuffer),
				"net.core.%s is %s, and a server asks for %s for %s: bursts are dropped", one.name, inBytes(n), inBytes(wantBuffer), one.what)
		default:
			m.ok("buffers", "net.core.%s is %s, enough for %s", one.name, inBytes(n), one.what)
		}
	}
}

// inBytes returns a number of bytes in words.
func inBytes(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// checkDrops looks twice at the counters of UDP.
func (m *machine) checkDrops(ctx context.Context) {
	before, err := m.udpCounters()
	if err != nil {
		m.skip("drops", "%v", err)
		return
	}
	wait := m.config.Pause
	if wait == 0 {
		wait = time.Second
	}
	if !pause(ctx, wait) {
		return
	}
	after, err := m.udpCounters()
	if err != nil {
		m.skip("drops", "%v", err)
		return
	}
	total, in := after["RcvbufErrors"], after["InDatagrams"]
	fresh := total - before["RcvbufErrors"]
	text := fmt.Sprintf("%d of %d datagrams since the start of the machine, %d in the last second", total, in+total, fresh)
	switch {
	case fresh > 0:
		m.fail("drops", FaultDrops, "the server is too slow for what arrives, or its buffers are too small: more CPU, Config.RTC.Shards, and larger buffers (above)", "the kernel drops datagrams because a socket is full: %s", text)
	case total > 0 && total*10_000 > in:
		m.warn("drops", FaultDrops, "watch the drops of the server in its metrics, with the cause receive-full: larger buffers (above), more CPU, Config.RTC.Shards", "the kernel has dropped datagrams because a socket was full: %s", text)
	default:
		m.ok("drops", "the kernel has dropped %s", text)
	}
	if n := after["SndbufErrors"]; n > 0 {
		m.warn("drops", FaultBuffer, "enlarge net.core.wmem_max (above)", "%d datagrams did not leave, because the buffer for sending was full", n)
	}
	if n := after["InCsumErrors"]; n > 0 {
		m.warn("drops", FaultDrops, "look at the network card and its drivers", "%d datagrams had a wrong checksum", n)
	}
	m.checkSoftnet()
}

// udpCounters returns the counters of UDP, by name: two lines with the names and the numbers.
func (m *machine) udpCounters() (map[string]int, error) {
	text, err := m.read("proc/net/snmp")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		all := make(map[string]int)
		for i := 1; i < min(len(names), len(f)); i++ {
			all[names[i]], _ = strconv.Atoi(f[i])
		}
		return all, nil
	}
	return nil, fmt.Errorf("/proc/net/snmp has no line of UDP")
}

// checkSoftnet looks at the packets that were dropped before any socket: the second column of each
// processor's line.
func (m *machine) checkSoftnet() {
	text, err := m.read("proc/net/softnet_stat")
	if err != nil {
		return
	}
	total := uint64(0)
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 {
			n, _ := strconv.ParseUint(f[1], 16, 64)
			total += n
		}
	}
	if total > 0 {
		m.warn("drops", FaultDrops, "sysctl -w net.core.netdev_max_backlog=10000, and more CPU for interrupts", "%d packets were dropped because a processor was too slow to take them from the network card", total)
	}
}

// A boundSocket is a line of /proc/net/udp.
type boundSocket struct {
	local  netip.AddrPort
	queued uint64 // bytes that wait to be read
	drops  uint64
	inode  string
}

// parseSockets reads /proc/net/udp or udp6.
func parseSockets(text string) (all []boundSocket) {
	s := bufio.NewScanner(strings.NewReader(text))
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 13 {
			continue
		}
		local, ok := parseHexAddr(f[1])
		if !ok {
			continue // the header
		}
		_, queue, _ := strings.Cut(f[4], ":")
		queued, _ := strconv.ParseUint(queue, 16, 64)
		drops, _ := strconv.ParseUint(f[12], 10, 64)
		all = append(all, boundSocket{local, queued, drops, f[9]})
	}
	return all
}

// parseHexAddr reads an address of /proc/net: words of four bytes in the order of the machine, which
// is taken to be little-endian.
func parseHexAddr(text string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	p, perr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || perr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), ok
}

// checkSockets looks at the sockets of the server's port, and the limits of its process.
func (m *machine) checkSockets() {
	if m.config.Port == 0 {
		m.skip("socket", "give the server's UDP port with -port, to look at its socket and its process")
		return
	}
	v4, _ := m.read("proc/net/udp")
	v6, _ := m.read("proc/net/udp6")
	found, drops, queued, inode := 0, uint64(0), uint64(0), ""
	for _, s := range append(parseSockets(v4), parseSockets(v6)...) {
		if s.local.Port() == m.config.Port {
			found++
			drops, queued, inode = drops+s.drops, queued+s.queued, s.inode
		}
	}
	switch {
	case found == 0:
		m.fail("socket", FaultSocket, "see that the server runs, and that -port is the port of Listen; in a container, run the doctor in its network namespace", "no socket of this machine has the UDP port %d", m.config.Port)
		return
	case drops > 0:
		m.warn("socket", FaultDrops, "larger buffers, more CPU, Config.RTC.Shards", "%s of the UDP port %d, where %d datagrams were dropped because it was full; %s wait now", count(found, "socket", "sockets"), m.config.Port, drops, inBytes(int(queued)))
	default:
		m.ok("socket", "%s of the UDP port %d, without drops; %s wait now", count(found, "socket", "sockets"), m.config.Port, inBytes(int(queued)))
	}
	m.checkFiles(inode)
}

// checkFiles looks at the limit of open files of the process with a socket.
func (m *machine) checkFiles(inode string) {
	pid := m.owner(inode)
	if pid == "" {
		m.skip("files", "the process of the socket is not known: run the doctor as root, or as the server's user")
		return
	}
	text, _ := m.read("proc/" + pid + "/limits")
	name, _ := m.read("proc/" + pid + "/comm")
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "Max open files")
		f := strings.Fields(rest)
		if !ok || len(f) == 0 {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err == nil && n < fewFiles {
			m.warn("files", FaultFiles, "ulimit -n 65536, or LimitNOFILE=65536 in the unit of systemd: each WebSocket and each HTTP connection is a file", "%s (process %s) may open only %d files", name, pid, n)
			return
		}
		m.ok("files", "%s (process %s) may open %s files", name, pid, f[0])
		return
	}
}

// owner returns the process that has a socket, or "".
func (m *machine) owner(inode string) string {
	root := m.config.Root
	if root == "" {
		root = "/"
	}
	files, _ := filepath.Glob(filepath.Join(root, "proc/[0-9]*/fd/*"))
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && to == "socket:["+inode+"]" {
			return filepath.Base(filepath.Dir(filepath.Dir(f)))
		}
	}
	return ""
}

// checkConntrack looks at how full the table of connection tracking is.
func (m *machine) checkConntrack() {
	n, ok := m.number("proc/sys/net/netfilter/nf_conntrack_count")
	most, ok2 := m.number("proc/sys/net/netfilter/nf_conntrack_max")
	switch {
	case !ok || !ok2 || most == 0:
		m.ok("conntrack", "no connection tracking")
	case n > most*8/10:
		m.fail("conntrack", FaultConntrack, fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d, or take the game's port out of connection tracking (nft: notrack)", 4*most), "the table has %d of %d entries: new players are dropped when it is full", n, most)
	default:
		m.ok("conntrack", "%d of %d entries", n, most)
	}
}

// checkAddresses compares the addresses that the server tells with those of this machine.
func (m *machine) checkAddresses(ctx context.Context) error {
	c := Config{URL: m.config.URL}
	if m.config.Token != "" {
		c.Tokens = []string{m.config.Token}
	}
	v, err := newVisit(c, func(r Result) {
		if r.Status == Fail || r.Status == Warn && r.Check != "certificate" {
			m.report(r)
		}
	})
	if err != nil {
		return err
	}
	defer v.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if !v.reach(ctx) || !v.ask(ctx) || v.answer == nil {
		return ctx.Err()
	}
	own := make(map[netip.Addr]bool)
	all, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().Unmap()] = true
		}
	}
	for _, line := range v.lines {
		if a := judgeAddress(line, v.site.Addr()); a.addr.IsValid() {
			m.judgeOwner(a.addr, own[a.addr.Addr()])
		}
	}
	return ctx.Err()
}

// judgeOwner says what it means that an address of an answer is, or is not, one of this machine.
func (m *machine) judgeOwner(a netip.AddrPort, own bool) {
	switch {
	case own && m.config.Port != 0 && a.Port() != m.config.Port:
		m.warn("address", FaultPort, "if nothing maps the port, set Config.RTC.Public to the port of Listen", "%v is an address of this machine, but the server listens at the port %d", a, m.config.Port)
	case own:
		m.ok("address", "%v is an address of this machine", a)
	case private(a.Addr()):
		m.fail("address", FaultOwner, "change Config.RTC.Public, or leave it empty", "the server tells %v, a private address that this machine does not have", a)
	default:
		m.ok("address", "%v is not an address of this machine: a cloud or a router must send its UDP port %d here; godwit-doctor from another network shows whether it does", a, a.Port())
	}
}
