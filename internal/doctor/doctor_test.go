package doctor

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

func addrPorts(texts ...string) (all []reach) {
	for _, text := range texts {
		text, refused := strings.CutSuffix(text, " refused")
		text, noRoute := strings.CutSuffix(text, " no route")
		text, answered := strings.CutSuffix(text, " answers")
		all = append(all, reach{netip.MustParseAddrPort(text), answered, refused, noRoute})
	}
	return all
}

func TestWhyNothingAnswersOverUDP(t *testing.T) {
	const site, home = "203.0.113.1", "192.168.1.5"
	for _, c := range []struct {
		name          string
		told, others  []reach
		site, outside string
		silent        bool
		want          Fault
		text          string // in the text or the advice
	}{
		{"silence", addrPorts("203.0.113.1:7777"), addrPorts("203.0.113.1:42424"), site, "", false, FaultUDP, "-stun"},
		{"a STUN server answers", addrPorts("203.0.113.1:7777"), nil, site, "198.51.100.7", false, FaultUDP, "firewall of the server"},
		{"a STUN server does not answer either", addrPorts("203.0.113.1:7777"), nil, site, "", true, FaultUDP, "WebSocket"},
		{"another address than that of HTTP", addrPorts("203.0.113.2:7777"), nil, site, "", false, FaultUDP, "another one than that of HTTP"},
		{"nobody listens", addrPorts("203.0.113.1:7777 refused"), nil, site, "", false, FaultPort, "nobody listens"},
		{"another port", addrPorts("203.0.113.1:7778"), addrPorts("203.0.113.1:7777 answers"), site, "", false, FaultPort, "203.0.113.1:7777"},
		{"another address", addrPorts("203.0.113.9:7777"), addrPorts("203.0.113.1:7777 answers"), site, "", false, FaultPublic, "203.0.113.1:7777"},
		{"at home", addrPorts("203.0.113.1:7777"), addrPorts("192.168.1.5:7777 answers"), home, "", false, FaultHairpin, "-stun"},
		{"at home, nobody listens at the router", addrPorts("203.0.113.1:7777 refused"), addrPorts("192.168.1.5:7777 answers"), home, "", false, FaultHairpin, "NAT loopback"},
		{"at home, and the address is ours", addrPorts("203.0.113.1:7777"), addrPorts("192.168.1.5:7777 answers"), home, "203.0.113.1", false, FaultHairpin, "NAT loopback"},
		{"at home, and the address is not ours", addrPorts("203.0.113.1:7777"), addrPorts("192.168.1.5:7777 answers"), home, "203.0.113.8", false, FaultPublic, "192.168.1.5:7777"},
		{"an old private address", addrPorts("192.168.1.4:7777"), addrPorts("192.168.1.5:7777 answers"), home, "", false, FaultPublic, "192.168.1.5:7777"},
		{"no IPv6 here", addrPorts("[2001:db8::1]:7777 no route"), nil, site, "", false, FaultRoute, "no way"},
		{"one of two without a route", addrPorts("[2001:db8::1]:7777 no route", "203.0.113.1:7777"), nil, site, "", false, FaultUDP, ""},
	} {
		var outside netip.Addr
		if c.outside != "" {
			outside = netip.MustParseAddr(c.outside)
		}
		d := diagnose(c.told, c.others, netip.MustParseAddr(c.site), outside, c.silent)
		if d.fault != c.want || !strings.Contains(d.text+" "+d.next, c.text) {
			t.Errorf("%s: %+v, want %q and %q", c.name, d, c.want, c.text)
		}
		if d.text == "" || d.next == "" {
			t.Errorf("%s: it does not say what to do: %+v", c.name, d)
		}
	}
}

func TestAddressesOfAnAnswer(t *testing.T) {
	const internet, lan, here = "203.0.113.1", "192.168.1.5", "127.0.0.1"
	for _, c := range []struct{ line, site, addr, why string }{
		{"1 1 udp 2130706431 203.0.113.1 7777 typ host", internet, "203.0.113.1:7777", ""},
		{"1 1 UDP 2130706431 2001:db8::1 7777 typ host", internet, "[2001:db8::1]:7777", ""},
		{"1 1 udp 2130706431 192.168.1.5 7777 typ host", lan, "192.168.1.5:7777", ""},
		{"1 1 udp 2130706431 127.0.0.1 7777 typ host", here, "127.0.0.1:7777", ""},
		{"1 1 udp 2130706431 192.168.1.5 7777 typ host", internet, "192.168.1.5:7777", "private"},
		{"1 1 udp 2130706431 100.64.1.1 7777 typ host", internet, "100.64.1.1:7777", "private"},
		{"1 1 udp 2130706431 fd00::1 7777 typ host", internet, "[fd00::1]:7777", "private"},
		{"1 1 udp 2130706431 127.0.0.1 7777 typ host", lan, "127.0.0.1:7777", "the server's machine"},
		{"1 1 udp 2130706431 169.254.1.1 7777 typ host", lan, "169.254.1.1:7777", "link-local"},
		{"1 1 udp 2130706431 fe80::1 7777 typ host", internet, "[fe80::1]:7777", "link-local"},
		{"1 1 udp 2130706431 fe80::1%a.local 7777 typ host", internet, "[fe80::1]:7777", "link-local"},
		{"1 1 udp 2130706431 169.254.1.1 7777 typ host", "169.254.1.9", "169.254.1.1:7777", ""},
		{"1 1 udp 2130706431 169.254.1.1 7777 typ host", here, "169.254.1.1:7777", ""},
		{"1 1 udp 2130706431 ::ffff:203.0.113.1 7777 typ host", internet, "203.0.113.1:7777", ""},
		{"1 1 udp 2130706431 3f2a.local 7777 typ host", lan, "", "mDNS"},
		{"1 1 udp 2130706431 game.example 7777 typ host", lan, "", "a name, and"},
		{"1 1 tcp 2130706431 203.0.113.1 9 typ host", internet, "", "tcp"},
		{"1 1 udp 2130706431 0.0.0.0 7777 typ host", internet, "", "no address"},
		{"1 1 udp 2130706431 239.1.1.1 7777 typ host", internet, "", "no address"},
		{"1 1 udp 2130706431 203.0.113.1 0 typ host", internet, "", "no port"},
		{"1 1 udp 2130706431 203.0.113.1 9 typ host", internet, "", "no port"},
		{"1 1 udp 2130706431 203.0.113.1 x typ host", internet, "", "no port"},
		{"1 1 udp 2130706431 203.0.113.1 65536 typ host", internet, "", "no port"},
		{"1 1 udp 2130706431 203.0.113.1 7777 type host", internet, "", "not a candidate"},
		{"1 1 udp", internet, "", "not a candidate"},
	} {
		a := judgeAddress(c.line, netip.MustParseAddr(c.site))
		addr := ""
		if a.addr.IsValid() {
			addr = a.addr.String()
		}
		text := strings.TrimSuffix(addr, "]:7777") // there may be a zone
		switch f := strings.Fields(c.line); {
		case c.why == "not a candidate":
			text = strconv.Quote(c.line)
		case addr == "":
			text = f[4] + ":" + f[5]
		}
		if !strings.HasPrefix(a.text, text) {
			t.Errorf("%s: the text begins with %s, want %s", c.line, a.text, text)
		}
		if addr != c.addr || !strings.Contains(a.why, c.why) || (a.why == "") != (c.why == "") || a.why != "" && a.next == "" {
			t.Errorf("%s at %s: %+v, want %q and %q", c.line, c.site, a, c.addr, c.why)
		}
	}
}

// The server answers the checks of a doctor, whatever their size.
func TestChecksOfAnySize(t *testing.T) {
	server := icelite.Credentials{Ufrag: "server", Pwd: "0123456789abcdef01234567"}
	agent := icelite.New(time.Now(), icelite.Config{Local: server, Remote: icelite.Credentials{Ufrag: "doctor"}})
	keys := credentials{"doctor", server.Ufrag, server.Pwd}
	from := netip.MustParseAddrPort("203.0.113.7:4242")
	for _, size := range []int{0, 100, 160, 1141, 1225, 1472} {
		id, b, err := keys.request(size)
		if err != nil || size > 160 && (len(b) < size || len(b) > size+7) {
			t.Fatalf("a check of %d bytes has %d, %v", size, len(b), err)
		}
		m := &stun.Message{Raw: b}
		if err := m.Decode(); err != nil {
			t.Fatal(err)
		}
		ours, _ := m.Get(attrPriority)
		tie, _ := m.Get(attrControlling)
		if !bytes.Equal(ours, []byte{110, 0xff, 0xff, 0xff}) || len(tie) != 8 {
			t.Errorf("a check has the priority %x and the tie-breaker %x", ours, tie)
		}
		var r icelite.Request
		if d := r.Parse(b); d != icelite.DropNone {
			t.Fatalf("a check of %d bytes is dropped: %v", size, d)
		}
		answer, verdict := agent.Answer(time.Now(), from, netip.Addr{}, &r, nil)
		if !verdict.Granted() {
			t.Fatalf("a check of %d bytes gets the verdict %v", size, verdict)
		}
		got, mapped, ok := keys.answer(answer)
		if !ok || got != id || mapped != from {
			t.Errorf("the answer is %x of %v, %v; want %x of %v", got, mapped, ok, id, from)
		}
		if _, _, ok := (credentials{"doctor", server.Ufrag, "another password of 24 b"}).answer(answer); ok {
			t.Error("an answer with another password is accepted")
		}
		answer[len(answer)-1] ^= 1
		if _, _, ok := keys.answer(answer[:len(answer)-4]); ok {
			t.Error("an answer that was cut is accepted")
		}
	}
}

func TestTheLargestSize(t *testing.T) {
	for limit := 1144; limit <= 1468; limit++ {
		tries := 0
		got := largest(1144, 1468, 4, func(n int) bool { tries++; return n <= limit })
		if want := limit &^ 3; got != want || tries > 8 {
			t.Errorf("up to %d: %d after %d tries, want %d", limit, got, tries, want)
		}
	}
}

func TestPingsThatAreLate(t *testing.T) {
	const late, opened = 300 * time.Millisecond, 50 * time.Millisecond
	for _, c := range []struct {
		trips []time.Duration
		want  Fault
	}{
		{nil, FaultBuffers},
		{[]time.Duration{20 * time.Millisecond, time.Second}, ""},
		{[]time.Duration{time.Second, 301 * time.Millisecond}, FaultBuffers},
		{[]time.Duration{300 * time.Millisecond}, ""},
	} {
		if r := judgePings(c.trips, late, opened, true); r.Fault != c.want || (r.Status == OK) != (c.want == "") || (r.Next == "") != (c.want == "") {
			t.Errorf("%v: %+v, want %q", c.trips, r, c.want)
		}
	}
}

func TestDifferenceOfClocks(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		date          time.Duration
		sent, arrived time.Duration
		want          time.Duration
	}{
		{0, 100 * time.Millisecond, 200 * time.Millisecond, 0},
		{0, 900 * time.Millisecond, 1100 * time.Millisecond, 0},
		{0, -100 * time.Millisecond, 0, 0},
		{10 * time.Second, 0, time.Second, 9 * time.Second},
		{-10 * time.Second, 0, time.Second, -9 * time.Second},
	} {
		if got := clockDifference(at.Add(c.date), at.Add(c.sent), at.Add(c.arrived)); got != c.want {
			t.Errorf("%v between %v and %v: %v, want %v", c.date, c.sent, c.arrived, got, c.want)
		}
	}
}

// collect returns a reporter, and what it gets.
func collect() (*[]Result, reporter) {
	all := new([]Result)
	return all, reporter{func(r Result) { *all = append(*all, r) }}
}

func TestTheAddressThatTheServerCounts(t *testing.T) {
	for _, c := range []struct {
		seen, mapped, site string
		status             Status
		want               Fault
	}{
		{"", "203.0.113.2", "203.0.113.1", Skip, ""},
		{"203.0.113.2; forwarded=none", "203.0.113.2", "203.0.113.1", OK, ""},
		{"203.0.113.2; forwarded=used", "203.0.113.2", "203.0.113.1", OK, ""},
		{"203.0.113.2; forwarded=used", "", "203.0.113.1", OK, ""},
		{"203.0.113.2; forwarded=used", "203.0.113.3", "203.0.113.1", OK, ""},
		{"2001:db8::2; forwarded=none", "203.0.113.2", "203.0.113.1", OK, ""}, // IPv6 for HTTP only
		{"private; forwarded=none", "192.168.1.2", "192.168.1.5", OK, ""},
		{"loopback; forwarded=none", "127.0.0.1", "127.0.0.1", OK, ""},
		{"private; forwarded=missing", "203.0.113.2", "203.0.113.1", Fail, FaultForwarded},
		{"203.0.113.1; forwarded=missing", "203.0.113.2", "203.0.113.1", Fail, FaultForwarded},
		{"loopback; forwarded=unusable", "203.0.113.2", "203.0.113.1", Fail, FaultForwarded},
		{"loopback; forwarded=ignored", "203.0.113.2", "203.0.113.1", Fail, FaultProxy},
		{"203.0.113.2; forwarded=ignored", "203.0.113.2", "203.0.113.1", OK, ""},
		{"private; forwarded=none", "203.0.113.2", "203.0.113.1", Warn, FaultForwarded},
		{"unknown; forwarded=none", "", "203.0.113.1", Warn, FaultForwarded},
		{"198.51.100.1; forwarded=none", "203.0.113.2", "203.0.113.1", Warn, FaultForwarded},
	} {
		all, r := collect()
		v := &visit{reporter: r, seen: c.seen, site: netip.AddrPortFrom(netip.MustParseAddr(c.site), 443)}
		if c.mapped != "" {
			v.mapped = netip.AddrPortFrom(netip.MustParseAddr(c.mapped), 1)
		}
		v.judgeSeen(t.Context())
		if len(*all) != 1 || (*all)[0].Check != "proxy" || (*all)[0].Status != c.status || (*all)[0].Fault != c.want {
			t.Errorf("%q with %q at %s: %+v, want %v %q", c.seen, c.mapped, c.site, *all, c.status, c.want)
		}
	}
}

func TestTheSourceThatTheServerSees(t *testing.T) {
	port := netip.MustParseAddrPort
	for _, c := range []struct {
		local, to string
		mapped    []netip.AddrPort
		want      Fault
		text      string
	}{
		{"203.0.113.2:5000", "203.0.113.1", []netip.AddrPort{port("203.0.113.2:5000")}, "", "no NAT"},
		{"192.168.1.2:5000", "203.0.113.1", []netip.AddrPort{port("203.0.113.2:5000")}, "", "keeps the port"},
		{"192.168.1.2:5000", "203.0.113.1", []netip.AddrPort{port("203.0.113.2:61000")}, "", "another port"},
		{"192.168.1.2:5000", "203.0.113.1", []netip.AddrPort{port("203.0.113.2:61000"), port("203.0.113.2:61001")}, FaultNAT, "61001"},
		{"203.0.113.2:5000", "203.0.113.1", []netip.AddrPort{port("172.17.0.1:61000")}, FaultHidden, "172.17.0.1"},
		{"192.168.1.2:5000", "203.0.113.1", []netip.AddrPort{port("172.17.0.1:61000")}, FaultHidden, "172.17.0.1"},
		{"192.168.1.2:5000", "192.168.1.5", []netip.AddrPort{port("192.168.1.2:5000")}, "", "no NAT"},
	} {
		all, r := collect()
		v := &visit{reporter: r}
		v.judgeSource(&target{addr: port(c.to + ":7777"), local: port(c.local)}, c.mapped)
		if len(*all) != 1 || (*all)[0].Check != "source" || (*all)[0].Fault != c.want || !strings.Contains((*all)[0].Text, c.text) {
			t.Errorf("%s as %v: %+v, want %q and %q", c.local, c.mapped, *all, c.want, c.text)
		}
	}
}

func TestNarrowPaths(t *testing.T) {
	for _, c := range []struct {
		payload    int
		want       Status
		text, next string
	}{
		{0, Fail, "datagrams with 1141 bytes do not reach", "WebSocket"},
		{1144, Warn, "1172 bytes (1144 of", "more than 1079 bytes"}, {1224, Warn, "1252 bytes (1224 of", "more than 1159 bytes"},
		{1228, OK, "1256 bytes (1228 of", ""}, {1472, OK, "1500 bytes (1472 of", ""},
	} {
		all, r := collect()
		(&visit{reporter: r}).judgeMTU(c.payload, 28)
		if len(*all) != 1 {
			t.Fatalf("%d bytes: %+v, want one result", c.payload, *all)
		}
		got := (*all)[0]
		if got.Check != "mtu" || got.Status != c.want || (c.want == OK) != (got.Fault == "") || !strings.Contains(got.Text, c.text) || !strings.Contains(got.Next, c.next) || (c.next == "") != (got.Next == "") {
			t.Errorf("%d bytes: %+v, want %+v", c.payload, got, c)
		}
		if c.payload > 0 && (got.Data["payload"] != c.payload || got.Data["mtu"] != c.payload+28) {
			t.Errorf("%d bytes: the figures are %v", c.payload, got.Data)
		}
	}
}

func TestLostChecks(t *testing.T) {
	for _, c := range []struct {
		answered int
		want     Status
		text     string
	}{{40, OK, "none of 40 checks"}, {39, OK, "2.5 % lost: 1 of 40 checks or answers"}, {38, Warn, "5.0 % lost: 2 of 40 checks or answers"}} {
		shots := make([]*shot, 40)
		for i := range shots {
			shots[i] = new(shot)
			if i < c.answered {
				shots[i].trip = time.Duration(i + 1)
			}
		}
		all, r := collect()
		(&visit{reporter: r}).judgeLoss(summarize(shots))
		if len(*all) != 1 {
			t.Fatalf("%d answers: %+v, want one result", c.answered, *all)
		}
		got := (*all)[0]
		if got.Check != "loss" || got.Status != c.want || (got.Fault == FaultLoss) != (c.want == Warn) || got.Text != c.text || got.Data["sent"] != 40 || got.Data["lost"] != 40-c.answered {
			t.Errorf("%d answers: %+v, want %+v", c.answered, got, c)
		}
	}
}

// A prober notes the size of a check and when it was sent, and an answer ends its wait.
func TestAnAnsweredCheck(t *testing.T) {
	server := testkit.Must(net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))))
	defer server.Close()
	local := icelite.Credentials{Ufrag: "server", Pwd: "0123456789abcdef01234567"}
	agent := icelite.New(time.Now(), icelite.Config{Local: local, Remote: icelite.Credentials{Ufrag: "doctor"}})
	sizes := make(chan int, 1)
	go func() {
		b := make([]byte, 2000)
		n, from, err := server.ReadFromUDPAddrPort(b)
		var r icelite.Request
		if err != nil || r.Parse(b[:n]) != icelite.DropNone {
			return // the test misses the answer
		}
		answer, _ := agent.Answer(time.Now(), from, netip.Addr{}, &r, nil)
		sizes <- n
		server.WriteToUDPAddrPort(answer, from)
	}()
	p := newProber(credentials{"doctor", local.Ufrag, local.Pwd})
	defer p.close()
	began := time.Now()
	s := p.send(p.add(server.LocalAddr().(*net.UDPAddr).AddrPort()), 1141)
	if !p.await(t.Context(), testkit.Patience, func() bool { return answered(s) }) || time.Since(began) >= testkit.Patience {
		t.Fatalf("after %v the check is answered: %v; want that the answer ends the wait", time.Since(began), answered(s))
	}
	if n := <-sizes; s.size != n || s.sent.Before(began) || s.trip > time.Since(began) {
		t.Errorf("a check of %d bytes is %+v", n, *s)
	}
}

const snmp = `Ip: Forwarding DefaultTTL
Ip: 1 64
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors
Udp: 1000 3 RCV 900 RCV 0 0
`

const udpTable = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 1497: 00000000:1E61 00000000:0000 07 00000000:00000100 00:00000000 00000000     0        0 2964449 2 00000000a23c257d DROPS
 1549: 0100630A:D51D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2966234 2 00000000cb3b60e7 7
`

// files writes the files of a machine below a directory.
func files(t *testing.T, all map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range all {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestTheMachineOfTheServer(t *testing.T) {
	for _, c := range []struct {
		name                                          string
		rmem, errors, drops, tracked, softnet, limits string
		want                                          []Fault
	}{
		{"healthy", "4194304", "0", "0", "100", "0001 00000000 0000", "Max open files            65536                65536                files", nil},
		{"small buffers", "212992", "0", "0", "100", "0001 00000000 0000", "", []Fault{FaultBuffer}},
		{"drops before", "4194304", "10", "0", "100", "0001 00000000 0000", "", []Fault{FaultDrops}},
		{"drops of the socket", "4194304", "0", "3", "100", "0001 00000000 0000", "", []Fault{FaultDrops}},
		{"drops of a processor", "4194304", "0", "0", "100", "0001 0000000a 0000", "", []Fault{FaultDrops}},
		{"full table", "4194304", "0", "0", "90", "0001 00000000 0000", "", []Fault{FaultConntrack}},
		{"few files", "4194304", "0", "0", "100", "0001 00000000 0000", "Max open files            1024                 65536                files", []Fault{FaultFiles}},
	} {
		most := "1000"
		if c.name == "full table" {
			most = "100"
		}
		root := files(t, map[string]string{
			"proc/net/snmp":                             strings.ReplaceAll(snmp, "RCV", c.errors),
			"proc/net/udp":                              strings.ReplaceAll(udpTable, "DROPS", c.drops),
			"proc/net/softnet_stat":                     c.softnet,
			"proc/sys/net/core/rmem_max":                c.rmem + "\n",
			"proc/sys/net/core/wmem_max":                "4194304\n",
			"proc/sys/net/netfilter/nf_conntrack_count": c.tracked,
			"proc/sys/net/netfilter/nf_conntrack_max":   most,
			"proc/42/limits":                            c.limits,
			"proc/42/comm":                              "game",
		})
		if err := os.MkdirAll(filepath.Join(root, "proc/42/fd"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("socket:[2964449]", filepath.Join(root, "proc/42/fd/7")); err != nil {
			t.Skipf("NOT RUN: no symbolic links here: %v", err)
		}
		all, r := collect()
		if err := Machine(t.Context(), MachineConfig{Port: 7777, Root: root, Pause: 1}, r.report); err != nil {
			t.Fatal(err)
		}
		var got []Fault
		for _, one := range *all {
			if one.Fault != "" {
				got = append(got, one.Fault)
				if one.Next == "" || one.Status != Warn && one.Status != Fail {
					t.Errorf("%s: %+v", c.name, one)
				}
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v: %+v", c.name, got, c.want, *all)
		}
	}
}

func TestAMachineWithoutTheServer(t *testing.T) {
	root := files(t, map[string]string{"proc/net/snmp": strings.ReplaceAll(snmp, "RCV", "0"), "proc/net/udp": strings.ReplaceAll(udpTable, "DROPS", "0")})
	all, r := collect()
	if err := Machine(t.Context(), MachineConfig{Port: 7778, Root: root, Pause: 1}, r.report); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(*all, func(one Result) bool { return one.Check == "socket" && one.Fault == FaultSocket && one.Status == Fail }) {
		t.Errorf("%+v", *all)
	}
	if err := Machine(t.Context(), MachineConfig{Root: t.TempDir()}, r.report); err == nil {
		t.Error("a machine without /proc is accepted")
	}
}

func TestSocketsOfTheKernel(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1E61":                         "127.0.0.1:7777",
		"00000000:1E61":                         "0.0.0.0:7777",
		"00000000000000000000000001000000:1E61": "[::1]:7777",
		"0000000000000000FFFF00000100007F:1E61": "127.0.0.1:7777",
	} {
		if got, ok := parseHexAddr(text); !ok || got.String() != want {
			t.Errorf("%s: %v, %v; want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "local_address", "0100007F", "010000:1E61", "0100007F:10000", "0100007F0100007F:1"} {
		if got, ok := parseHexAddr(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestLines(t *testing.T) {
	var out strings.Builder
	Result{Check: "udp", Status: Fail, Fault: FaultUDP, Text: strings.Repeat("nothing comes back ", 8), Next: "let it through"}.Print(&out, false)
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimSpace(line)) == 0 || len(line) > lineWidth+1 {
			t.Errorf("the line %q has %d bytes", line, len(line))
		}
	}
	if got := out.String(); !strings.HasPrefix(got, "FAIL  udp          nothing") || !strings.Contains(got, "[udp-dropped]\n                   > let it through\n") {
		t.Errorf("the result is\n%s", got)
	}
}
