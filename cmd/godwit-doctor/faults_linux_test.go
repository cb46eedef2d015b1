package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/doctor"
	"github.com/godwit-rtc/godwit/netsim"
)

// The network of the test. Each line is a TUN link between two namespaces:
//
//	player 203.0.113.2 ── 203.0.113.1  router  192.168.7.1 ── 192.168.7.2 server
//	                                           192.168.8.1 ── 192.168.8.2 neighbour
//
// The router sends what comes from the internet for its ports to the server, and drops UDP to one port.
// As the router of a home it does nothing for packets from inside to its public address.
const (
	routerAddr = "203.0.113.1"
	serverAddr = "192.168.7.2"
	deadAddr   = "203.0.113.99" // nobody has it

	webPorts = 8000 // that of a case is webPorts and its number
	udpPorts = 7000
)

const routerRules = `
table ip godwit {
	chain in {
		type nat hook prerouting priority -100;
		iifname "wan" ip daddr 203.0.113.1 tcp dport 8000-8049 dnat to 192.168.7.2
		iifname "wan" ip daddr 203.0.113.1 udp dport { 7000-7049, 7777 } dnat to 192.168.7.2
	}
	chain through { type filter hook forward priority 0; udp dport 7001 drop; }
}
`

// A faultCase is a server with one fault.
type faultCase struct {
	name      string
	fault     doctor.Fault // empty: none
	public    string       // Config.RTC.Public; empty: the router's address with the server's port
	port      int          // UDP port of the server; 0: udpPorts and the number of the case
	neighbour bool         // the player is in the network of the server
	args      []string
	front     func(http.Handler) http.Handler // a proxy; nil: none
	expired   bool                            // HTTPS, with a certificate that has expired
}

var faultCases = []faultCase{
	{name: "nothing is wrong"},
	{name: "UDP dropped", fault: doctor.FaultUDP}, // routerRules
	{name: "NAT without hairpin", fault: doctor.FaultHairpin, neighbour: true},
	{name: "wrong Public", fault: doctor.FaultPublic, public: deadAddr + ":7003"},
	{name: "wrong port mapping", fault: doctor.FaultPort, public: routerAddr + ":7099"},
	{name: "wrong port mapping, with the server at the usual port", fault: doctor.FaultPort, port: 7777, public: routerAddr + ":7099"},
	{name: "proxy without X-Forwarded-For", fault: doctor.FaultForwarded, front: proxy(false, nil)},
	{name: "proxy that buffers", fault: doctor.FaultBuffers, front: proxy(true, holdBack)},
	{name: "proxy that does neither", front: proxy(true, nil)},
	{name: "expired certificate", fault: doctor.FaultExpired, expired: true},
	{name: "Origin not listed", fault: doctor.FaultOrigin, args: []string{"-origin", "http://game.example"}},
}

// theFaults are the faults that only their own cases may find.
var theFaults = []doctor.Fault{doctor.FaultUDP, doctor.FaultHairpin, doctor.FaultPublic, doctor.FaultPort,
	doctor.FaultForwarded, doctor.FaultBuffers, doctor.FaultExpired, doctor.FaultOrigin}

func TestMain(m *testing.M) {
	switch os.Getenv("GODWIT_DOCTOR_TEST") {
	case "servers":
		if err := serveCases(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "doctor":
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Each fault is named, and no other. The program runs at all cases at the same time, because it mostly
// waits.
func TestEachFaultIsNamed(t *testing.T) {
	server, player, neighbour := faultNetwork(t)
	startServers(t, server)
	outputs := make([]chan []byte, len(faultCases))
	for i, c := range faultCases {
		from, host := player, routerAddr
		if c.neighbour {
			from, host = neighbour, serverAddr
		}
		scheme := "http"
		if c.expired {
			scheme = "https"
		}
		args := append([]string{"-json", "-wait", "6s", "-checks", "20"}, c.args...)
		outputs[i] = visit(t, from, append(args, fmt.Sprintf("%s://%s:%d/", scheme, host, webPorts+i)))
	}
	for i, c := range faultCases {
		out := <-outputs[i]
		t.Run(c.name, func(t *testing.T) {
			var got report
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var text strings.Builder
			for _, r := range got.Results {
				r.Print(&text, false)
			}
			t.Logf("\n%s", &text)
			var want, found []doctor.Fault
			if c.fault != "" {
				want = append(want, c.fault)
			}
			for _, f := range got.Faults {
				if slices.Contains(theFaults, f) {
					found = append(found, f)
				}
			}
			if !slices.Equal(found, want) {
				t.Errorf("it has found %q, want %q: %s", found, want, out)
			}
			if got.Healthy != (c.fault == "") {
				t.Errorf("healthy is %v: %s", got.Healthy, out)
			}
			for _, r := range got.Results {
				if r.Fault == c.fault && c.fault != "" && r.Next == "" {
					t.Errorf("it does not say what to do: %+v", r)
				}
			}
		})
	}
}

// At the machine of the server the program finds the socket, and the addresses that the server tells.
func TestTheMachineOfTheServer(t *testing.T) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Secret: "open", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	web := httptest.NewServer(srv)
	defer web.Close()
	port := strconv.Itoa(int(srv.RTC().Addr().Port()))
	r := examine(t, "-server", "-port", port, "-token", "open", web.URL)
	r.want(t, "socket", doctor.OK, "", "1 socket of the UDP port "+port)
	r.want(t, "address", doctor.OK, "", "127.0.0.1:"+port+" is an address of this machine")
	if err := srv.RTC().SetPublic(netip.MustParseAddrPort("203.0.113.7:7777"), netip.MustParseAddrPort("192.168.255.254:7777")); err != nil {
		t.Fatal(err)
	}
	r = examine(t, "-server", "-token", "open", web.URL)
	r.want(t, "address", doctor.OK, "", "203.0.113.7:7777 is not an address of this machine")
	r.want(t, "address", doctor.Fail, doctor.FaultOwner, "192.168.255.254:7777")
	r.want(t, "socket", doctor.Skip, "", "-port")
}

// faultNetwork makes the network, or skips the test where there can be none.
func faultNetwork(t *testing.T) (server, player, neighbour *netsim.Namespace) {
	t.Helper()
	for _, program := range []string{"nft", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT RUN: no %s here", program)
		}
	}
	addrs := func(a string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(a)} }
	open := func(c netsim.TunConfig) *netsim.Tun {
		tun, err := netsim.OpenTun(c)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skipf("NOT RUN: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tun.Close() })
		return tun
	}
	wan := open(netsim.TunConfig{Near: netsim.TunEnd{Device: "wan", Addrs: addrs(routerAddr + "/24")}, Far: netsim.TunEnd{Addrs: addrs("203.0.113.2/24")}})
	router := wan.Near()
	lan := open(netsim.TunConfig{Near: netsim.TunEnd{Namespace: router.File(), Addrs: addrs("192.168.7.1/24")}, Far: netsim.TunEnd{Addrs: addrs(serverAddr + "/24")}})
	side := open(netsim.TunConfig{Near: netsim.TunEnd{Namespace: router.File(), Addrs: addrs("192.168.8.1/24")}, Far: netsim.TunEnd{Addrs: addrs("192.168.8.2/24")}})
	err := router.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	if err != nil {
		t.Fatal(err)
	}
	if err := applyRules(router, "table ip try { chain in { type nat hook prerouting priority -100; }; }"); err != nil {
		t.Skipf("NOT RUN: no NAT of nftables here: %v", err)
	}
	if err := applyRules(router, routerRules); err != nil {
		t.Fatal(err)
	}
	return lan.Far(), wan.Far(), side.Far()
}

// applyRules gives rules to nftables in a namespace.
func applyRules(n *netsim.Namespace, rules string) error {
	return n.Do(func() error {
		nft := exec.Command("nft", "-f", "-")
		nft.Stdin = strings.NewReader(rules)
		out, err := nft.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// again returns this program in a role of TestMain, for a namespace.
func again(n *netsim.Namespace, role string, args []string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--net=" + n.File(), os.Args[0]}, args...)...)
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "GODWIT_DOCTOR_TEST="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// visit starts a doctor, and returns its output when it is over.
func visit(t *testing.T, n *netsim.Namespace, args []string) chan []byte {
	t.Helper()
	cmd := again(n, "doctor", args)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan []byte, 1)
	go func() {
		cmd.Wait() // the exit code is that of healthy
		over <- out.Bytes()
	}()
	return over
}

// startServers starts the servers of all cases in a namespace, and waits until they listen.
func startServers(t *testing.T, n *netsim.Namespace) {
	t.Helper()
	ready, out := io.Pipe()
	in, end := io.Pipe()
	cmd := again(n, "servers", nil)
	cmd.Stdin, cmd.Stdout = in, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() {
		over <- cmd.Wait()
		out.Close()
	}()
	t.Cleanup(func() {
		end.Close()
		<-over
	})
	if line, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		t.Fatalf("the servers do not start: %q, %v", line, err)
	}
}

// serveCases runs the servers of all cases until the standard input ends.
func serveCases() error {
	for i, c := range faultCases {
		if err := c.serve(i); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// serve starts the server of case i. It runs until the process ends.
func (c *faultCase) serve(i int) error {
	port := udpPorts + i
	if c.port != 0 {
		port = c.port
	}
	config := godwit.Config{
		Channels:    godwit.Channels{{Name: "move", Mode: godwit.Sequenced}},
		OpenTimeout: time.Minute,
		Logger:      slog.New(slog.DiscardHandler),
	}
	public := c.public
	if public == "" {
		public = routerAddr + ":" + strconv.Itoa(port)
	}
	config.RTC.Public = []netip.AddrPort{netip.MustParseAddrPort(public)}
	config.RTC.HandshakeTimeout = time.Minute // the doctor makes none, and a busy machine may need long for the rest
	config.RTC.Origins = []string{"http://other.example"}
	config.RTC.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	srv, err := godwit.Listen(serverAddr+":"+strconv.Itoa(port), config)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", serverAddr+":"+strconv.Itoa(webPorts+i))
	if err != nil {
		return err
	}
	var h http.Handler = srv
	if c.front != nil {
		h = c.front(srv)
	}
	if c.expired {
		certificate, err := expiredCertificate()
		if err != nil {
			return err
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}})
	}
	go http.Serve(l, h)
	return nil
}

// proxy returns a proxy before a handler, which listens at a loopback address. forwards says that the proxy
// names its clients; wrap, if not nil, changes what comes from the server over a WebSocket.
func proxy(forwards bool, wrap func(io.Reader) io.Reader) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		go http.Serve(l, h)
		to := &url.URL{Scheme: "http", Host: l.Addr().String()}
		return &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(to)
				r.Out.Host = r.In.Host
				if forwards {
					r.SetXForwarded()
				}
			},
			ModifyResponse: func(r *http.Response) error {
				if both, ok := r.Body.(io.ReadWriteCloser); ok && wrap != nil {
					r.Body = struct {
						io.Reader
						io.WriteCloser
					}{wrap(both), both}
				}
				return nil
			},
		}
	}
}

// holdBack returns a reader that gives nothing until 4 KiB have come, or all.
func holdBack(r io.Reader) io.Reader { return bufferingReader{r} }

type bufferingReader struct{ io.Reader }

func (b bufferingReader) Read(p []byte) (int, error) {
	n, err := io.ReadAtLeast(b.Reader, p, min(len(p), 4<<10))
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// expiredCertificate returns a certificate that has ended yesterday.
func expiredCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(routerAddr)},
		NotBefore: time.Now().AddDate(0, -3, 0), NotAfter: time.Now().AddDate(0, 0, -1),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
