package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

func TestEndsOfATun(t *testing.T) {
	addr := netip.MustParsePrefix
	for text, want := range map[string]netsim.TunEnd{
		"":                        {},
		"mine":                    {Namespace: "/run/netns/mine"},
		"/proc/1/ns/net":          {Namespace: "/proc/1/ns/net"},
		"10.9.0.1/24":             {Addrs: []netip.Prefix{addr("10.9.0.1/24")}},
		"mine,10.9.0.1/24,f::1/8": {Namespace: "/run/netns/mine", Addrs: []netip.Prefix{addr("10.9.0.1/24"), addr("f::1/8")}},
		"10.9.0.1/24,mine":        {Namespace: "/run/netns/mine", Addrs: []netip.Prefix{addr("10.9.0.1/24")}},
	} {
		got, err := parseEnd(text)
		if err != nil || got.Namespace != want.Namespace || !slices.Equal(got.Addrs, want.Addrs) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{",", "mine,", "mine,yours", "f::1", "f::1/129"} {
		if got, err := parseEnd(text); err == nil {
			t.Errorf("%q is accepted: %+v", text, got)
		}
	}
}

// Programs in the namespace that the line at the start names send through the link.
func TestTunCarriesTheTrafficOfANamespace(t *testing.T) {
	around, err := netsim.OpenTun(netsim.TunConfig{}) // its namespace is that of the server
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("NOT RUN: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer around.Close()
	r := launch(t, "-tun", "-near", around.Near().File()+",10.9.0.1/24", "-far", "10.9.0.2/24", "-delay", "1ms", "-tun-mtu", "1400")
	hello := r.wantLine("it says where it is", "from [10.9.0.2] to [10.9.0.1]; for programs there: nsenter --net=")
	r.wantLine("the way up", "  up   delay 1ms")
	r.wantLine("and down", "  down delay 1ms")
	if got := mtu(t, around.Near(), "10.9.0.1/24"); got != 1400 {
		t.Errorf("the MTU is %d, want that of -tun-mtu", got)
	}
	var server *net.UDPConn
	err = around.Near().Do(func() (err error) {
		server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.9.0.1:0")))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	port := server.LocalAddr().(*net.UDPAddr).Port
	file := regexp.MustCompile(`--net=\S+`).FindString(hello)
	out, err := exec.Command("nsenter", file, "bash", "-c", fmt.Sprintf("echo -n hello >/dev/udp/10.9.0.1/%d", port)).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("NOT RUN: no nsenter here")
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b := make([]byte, 100)
	server.SetReadDeadline(time.Now().Add(testkit.Patience))
	if n, from, err := server.ReadFromUDPAddrPort(b); err != nil || string(b[:n]) != "hello" || from.Addr().Unmap().String() != "10.9.0.2" {
		t.Errorf("%q from %v, %v", b[:n], from, err)
	}
	wantIn(t, "what happened", r.status(), "1 s  | up passed 1 (33 B) lost 0")
	wantIn(t, "no clients", r.say("rebind", 1), "rebind: a TUN link has no clients")
	wantIn(t, "a condition", r.say("loss 100%", 2), "up   loss 100% delay 1ms")
	r.say("quit", 0)
	wantIn(t, "the end", r.end("quit ends it"), "total\n  up   sent 1 passed 1")
}

// mtu returns that of the device with an address in a namespace.
func mtu(t *testing.T, space *netsim.Namespace, addr string) (n int) {
	t.Helper()
	err := space.Do(func() error {
		devices, err := net.Interfaces()
		for _, d := range devices {
			addrs, _ := d.Addrs() // a device that is gone has none
			if slices.ContainsFunc(addrs, func(a net.Addr) bool { return a.String() == addr }) {
				n = d.MTU
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// With another seed a TUN link loses other packets.
func TestSeedsOfATun(t *testing.T) {
	around, err := netsim.OpenTun(netsim.TunConfig{}) // its namespaces are those of the ends
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("NOT RUN: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer around.Close()
	run := func(seed string) string {
		file := filepath.Join(t.TempDir(), "trace.jsonl")
		r := launch(t, "-tun", "-near", around.Near().File()+",10.9.0.1/24", "-far", "10.9.0.2/24", "-loss", "0,50%", "-record", file, "-seed", seed)
		for range 3 {
			r.wantLine("a line of the start", "")
		}
		err := around.Near().Do(func() error {
			u, err := net.ListenUDP("udp", nil)
			for range 64 {
				if err == nil {
					_, err = u.WriteToUDPAddrPort([]byte("hello"), netip.MustParseAddrPort("10.9.0.2:9"))
				}
			}
			return errors.Join(err, u.Close())
		})
		if err != nil {
			t.Fatal(err)
		}
		for seen := 0; seen < 64; {
			var passed, bytes, lost int
			_, down, _ := strings.Cut(r.status(), "| down ")
			if _, err := fmt.Sscanf(down, "passed %d (%d B) lost %d", &passed, &bytes, &lost); err != nil {
				t.Fatalf("a status of %q: %v", down, err)
			}
			seen += passed + lost
		}
		r.say("quit", 0)
		r.end("quit ends it")
		return fates(t, file, "down")
	}
	if a, b := run("2"), run("3"); a == b || !strings.Contains(a, "lost") {
		t.Errorf("with both seeds the fates of the packets are %s", a)
	}
}

// A mistake in the flags of a TUN link is an error before anything is made, and before the file
// of -record is emptied.
func TestBadTunFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.jsonl")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-tun", "-target", "127.0.0.1:9"}, "-tun has no -target"},
		{[]string{"-tun", "-shared"}, "-tun has no -shared"},
		{[]string{"-target", "127.0.0.1:9", "-far", "x"}, "-far needs -tun"},
		{[]string{"-tun", "-near", "a,b"}, `-near "a,b" is not a namespace`},
		{[]string{"-tun", "-far", "10.0.0.1/99"}, "-far"},
		{[]string{"-target", "here"}, "-target"},
	} {
		err := run(t.Context(), append(test.args, "-record", file), strings.NewReader(""), nil, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q in it", test.args, err, test.want)
		}
	}
	if b, err := os.ReadFile(file); string(b) != "kept" {
		t.Errorf("the file of -record has %q, %v", b, err)
	}
}
