package rtcserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
)

// A server at home, and what its router makes of its address.
var (
	homeAddr   = netip.MustParseAddrPort("192.168.1.5:7777")
	routerAddr = netip.MustParseAddrPort("203.0.113.9:40000")
	stunAddr   = netip.MustParseAddrPort("198.51.100.1:3478")
)

// serveHome makes a server at home, behind a router, with a STUN server that answers its request
// number n, from 0, with the datagrams of answer.
func serveHome(t *testing.T, c Config, answer func(n int, request *stun.Message, from netip.AddrPort) [][]byte, test func(w *world)) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		at := testkit.Listen(t, network, stunAddr)
		defer at.Close()
		go func() {
			b := make([]byte, 1500)
			for n := 0; ; n++ {
				size, from, err := at.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				m := stun.New()
				if err := stun.Decode(slices.Clone(b[:size]), m); err != nil {
					t.Error(err)
				}
				network.Inject(attackerAddr, from, binding(stun.BindingSuccess, m, attackerAddr)) // a stranger has seen the request
				for _, b := range answer(n, m, from) {
					at.WriteToUDPAddrPort(b, from)
				}
			}
		}()
		socket := testkit.Listen(t, network, homeAddr)
		if err := socket.Rebind(routerAddr); err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, network: network, events: make(chan string, 10_000)}
		c.Discover = stunAddr.String()
		w.serve(socket, c)
		defer w.server.Close()
		test(w)
	})
}

// binding is an answer of a STUN server.
func binding(kind stun.MessageType, request *stun.Message, to netip.AddrPort) []byte {
	return stun.MustBuild(stun.NewTransactionIDSetter(request.TransactionID), kind,
		&stun.XORMappedAddress{IP: to.Addr().AsSlice(), Port: int(to.Port())}).Raw
}

// The server asks the STUN server from its own port. Pages of the internet get the address that the
// STUN server has seen, and those at home the private one, too.
func TestDiscover(t *testing.T) {
	good := func(_ int, r *stun.Message, from netip.AddrPort) [][]byte {
		return [][]byte{binding(stun.BindingSuccess, r, from)}
	}
	for name, test := range map[string]struct {
		answer func(n int, r *stun.Message, from netip.AddrPort) [][]byte
		found  bool
		after  time.Duration
	}{
		"an answer": {good, true, 0},
		"two requests are lost": {func(n int, r *stun.Message, from netip.AddrPort) [][]byte {
			if n < 2 {
				return nil
			}
			return good(n, r, from)
		}, true, 1500 * time.Millisecond},
		"wrong answers before the right one": {func(n int, r *stun.Message, from netip.AddrPort) [][]byte {
			other := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
			broken := append(binding(stun.BindingSuccess, r, attackerAddr), 0x80, 0x22, 0, 100) // an attribute that is cut off
			broken[3] += 4
			return [][]byte{
				nil, {0, 1}, r.Raw, broken,
				binding(stun.BindingSuccess, other, attackerAddr),
				binding(stun.BindingError, r, attackerAddr),
				binding(stun.BindingSuccess, r, netip.AddrPortFrom(attackerAddr.Addr(), 0)),
				binding(stun.BindingSuccess, r, netip.MustParseAddrPort("0.0.0.0:1")),
				stun.MustBuild(stun.NewTransactionIDSetter(r.TransactionID), stun.BindingSuccess).Raw,
				good(n, r, from)[0],
			}
		}, true, 0},
		"no answer": {func(int, *stun.Message, netip.AddrPort) [][]byte { return nil }, false, 2500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var log testkit.Log
			var began time.Time
			answer := func(n int, r *stun.Message, from netip.AddrPort) [][]byte {
				if n == 0 {
					began = time.Now()
				}
				return test.answer(n, r, from)
			}
			serveHome(t, Config{Logger: log.Logger(slog.LevelWarn)}, answer, func(w *world) {
				if waited := time.Since(began); waited != test.after {
					t.Errorf("Serve has waited for %v, want %v", waited, test.after)
				}
				internet, home := "[203.0.113.9:40000]", "[192.168.1.5:7777 203.0.113.9:40000]"
				if !test.found {
					internet, home = "[192.168.1.5:7777]", "[192.168.1.5:7777]"
				}
				for page, want := range map[string]string{"198.51.100.7": internet, "192.168.1.9": home} {
					if got := fmt.Sprint(w.server.Addresses(netip.MustParseAddr(page))); got != want {
						t.Errorf("a page at %s gets %v, want %v", page, got, want)
					}
				}
				time.Sleep(time.Minute) // it passes because the loop waits: it has no deadline of the search
				if warned := strings.Contains(log.String(), "Config.Discover has found no public address"); warned == test.found {
					t.Errorf("the log is %q, want a warning: %v", log.String(), !test.found)
				}
			})
		})
	}
}

// A page connects to the address that the STUN server has seen.
func TestAPageConnectsToTheDiscoveredAddress(t *testing.T) {
	var log testkit.Log
	serveHome(t, Config{Logger: log.Logger(slog.LevelWarn)}, func(_ int, r *stun.Message, from netip.AddrPort) [][]byte {
		return [][]byte{binding(stun.BindingSuccess, r, from)}
	}, func(w *world) {
		p := w.open()
		w.want("the page connects", "open 1")
		p.echoes("over the router")
		if log.String() != "" {
			t.Errorf("the log is %q, want nothing", log.String())
		}
	})
}

// A page that can reach no address gets an answer without one, and the log says what to do.
func TestAnAnswerWithoutAnAddress(t *testing.T) {
	var log testkit.Log
	serveHome(t, Config{Logger: log.Logger(slog.LevelWarn)}, func(_ int, r *stun.Message, _ netip.AddrPort) [][]byte {
		return [][]byte{binding(stun.BindingSuccess, r, netip.MustParseAddrPort("10.0.0.1:7777"))} // a second NAT
	}, func(w *world) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(browserOffer(t)))
		r.RemoteAddr = "198.51.100.7:5555"
		body := testkit.Serve(w.server, r).Body.String()
		if strings.Contains(body, "a=candidate") || strings.Contains(body, `"candidate":`) || !strings.Contains(body, "end-of-candidates") {
			t.Errorf("the answer is %s, want one without a candidate", body)
		}
		w.offer("")
		if strings.Count(log.String(), "Config.RTC.Public") != 1 {
			t.Errorf("the log is %q, want one line that names Config.RTC.Public, for two answers", log.String())
		}
	})
}

func TestAddressesOfSTUNServers(t *testing.T) {
	for _, name := range []string{"stun.example", "stun.example:0", "stun.example:65536", ":3478", "stun.example:x"} {
		if _, err := Listen("127.0.0.1:0", Config{Settings: Settings{Discover: name}}); err == nil || !strings.Contains(err.Error(), "Config.Discover") {
			t.Errorf("Discover %q: %v, want an error that names the field", name, err)
		}
	}
	for name, want := range map[string]string{
		"192.0.2.1:3478 4":     "192.0.2.1:3478",
		"192.0.2.1:3478 46":    "192.0.2.1:3478",
		"[2001:db8::1]:3478 6": "[2001:db8::1]:3478",
		"192.0.2.1:3478 6":     "invalid AddrPort",
		"[2001:db8::1]:3478 4": "invalid AddrPort",
	} {
		addr, families, _ := strings.Cut(name, " ")
		got, err := lookupSTUN(addr, strings.Contains(families, "4"), strings.Contains(families, "6"))
		if got.String() != want || (err == nil) != got.IsValid() {
			t.Errorf("%s: %v, %v, want %v", name, got, err, want)
		}
	}
	if got, err := lookupSTUN("stun..example:3478", true, true); err == nil || got.IsValid() {
		t.Errorf("a name that cannot be: %v, want an error", got)
	}
}

// A socket that fails ends the search at once, with its error.
func TestDiscoverWithASocketThatFails(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		began := time.Now()
		ask := func(socket net.PacketConn, close bool) (uint64, error) {
			c := testkit.Must(udpio.Take(socket, udpio.Config{}))
			if close {
				c.Close()
			}
			got, err := askSTUN([]*udpio.Conn{c}, stunAddr)
			if got.IsValid() {
				t.Errorf("the address is %v, want none", got)
			}
			return c.Stats().Sent, err
		}
		closed := testkit.Listen(t, network, homeAddr)
		if _, err := ask(closed, true); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a closed socket: %v, want net.ErrClosed", err)
		}
		failing := &broken{testkit.Listen(t, network, netip.MustParseAddrPort("192.168.1.6:7777"))}
		defer failing.Close()
		if n, err := ask(failing, false); n != 1 || err == nil || !strings.Contains(err.Error(), "no such device") {
			t.Errorf("a socket that cannot read: %v after %d requests, want its error after one", err, n)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("it takes %v, want no time", waited)
		}
	})
}
