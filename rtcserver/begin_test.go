package rtcserver

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// What cannot be served is an error that says why, and no server.
func TestServersThatCannotBegin(t *testing.T) {
	closed := testkit.Must(net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	closed.Close()
	for want, begin := range map[string]func() (*Server, error){
		"Config.Role":                  func() (*Server, error) { return Listen("127.0.0.1:0", Config{Settings: Settings{Role: 9}}) },
		`address "127.0.0.1"`:          func() (*Server, error) { return Listen("127.0.0.1", Config{}) },
		"Config.Role is 8":             func() (*Server, error) { return Serve(closed, Config{Settings: Settings{Role: 8}}) },
		"but Config.Shards is 2":       func() (*Server, error) { return Serve(closed, Config{Settings: Settings{Shards: 2}}) },
		"use of closed network connec": func() (*Server, error) { return Serve(closed, Config{}) },
	} {
		s, err := begin()
		if s != nil || err == nil || !strings.HasPrefix(err.Error(), "rtcserver: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("a server %v and the error %v, want none and an error with %q", s, err, want)
		}
		if s != nil {
			s.Close()
		}
	}
}

// The read deadline that a socket has before Serve is none of the server's.
func TestServeForgetsTheReadDeadline(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		w := &world{t: t, network: network, events: make(chan string, 100)}
		socket := testkit.Listen(t, network, serverAddr)
		socket.SetReadDeadline(time.Now())
		w.serve(socket, Config{})
		defer w.server.Close()
		time.Sleep(time.Minute) // it passes because the loop waits
		w.open().echoes("after the deadline")
	})
}

// Certificate returns that of Config, or one of the server's own.
func TestCertificateOfAServer(t *testing.T) {
	own, given := listen(t, Config{}).Certificate(), listen(t, Config{Settings: Settings{Certificate: serverCertificate}}).Certificate()
	if own == nil || given != serverCertificate {
		t.Errorf("the certificates are %v and %v, want one of the server's own and that of Config", own, given)
	}
}

// A program that has found the connection that it looks for asks for no more.
func TestConnsEndsWithItsCaller(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for range 3 {
			w.open()
		}
		n := 0
		for range w.server.Conns() {
			if n++; n == 2 {
				break
			}
		}
		if n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}
