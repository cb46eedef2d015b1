package main

import (
	_ "embed"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/web"
)

//go:embed channels.html
var channelsPage []byte

// A lab is a game server that echoes on four channels, behind a simulated link whose
// conditions the page chooses. It serves only this machine.
type lab struct {
	server *godwit.Server
	relay  *netsim.Relay
}

func newLab() (*lab, error) {
	target, err := freePort(machineAddr())
	if err != nil {
		return nil, err
	}
	relay, err := netsim.ListenRelay(netsim.RelayConfig{
		Listen: netip.AddrPortFrom(target.Addr(), 0), Target: target, Seed: uint64(time.Now().UnixNano()),
	})
	if err != nil {
		return nil, err
	}
	c := godwit.Config{
		Channels: godwit.Channels{
			{Name: "unreliable", Mode: godwit.Unreliable},
			{Name: "sequenced", Mode: godwit.Sequenced},
			{Name: "unordered", Mode: godwit.ReliableUnordered},
			{Name: "ordered", Mode: godwit.ReliableOrdered},
		},
		Handler: godwit.Handler{
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
		},
	}
	c.RTC.Public = []netip.AddrPort{relay.Addr()}
	server, err := godwit.Listen(target.String(), c)
	if err != nil {
		relay.Close()
		return nil, err
	}
	return &lab{server, relay}, nil
}

func (l *lab) close() {
	l.server.Close()
	l.relay.Close()
}

func (l *lab) routes(r *mux.Router) {
	r.HandleFunc("/channels", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(channelsPage)
	}).Methods(http.MethodGet)
	r.Handle("/godwit.js", web.Handler()).Methods(http.MethodGet, http.MethodHead)
	r.Handle("/godwit/", l.server)
	r.HandleFunc("/channels/link", l.setLink).Methods(http.MethodPost)
}

// setLink sets the conditions of the link: loss in percent each way, delay and jitter
// in milliseconds one way, blackout in seconds.
func (l *lab) setLink(w http.ResponseWriter, r *http.Request) {
	var asked [4]float64
	for i, name := range [...]string{"loss", "delay", "jitter", "blackout"} {
		v, err := strconv.ParseFloat(r.URL.Query().Get(name), 64)
		if err != nil || !(v >= 0 && v <= 1000) {
			http.Error(w, fmt.Sprintf("%s is not a number from 0 to 1000", name), http.StatusBadRequest)
			return
		}
		asked[i] = v
	}
	link := netsim.Link{
		Loss:   min(asked[0]/100, 0.9),
		Delay:  time.Duration(asked[1] * float64(time.Millisecond)),
		Jitter: time.Duration(asked[2] * float64(time.Millisecond)),
	}
	l.relay.SetUp(link)
	l.relay.SetDown(link)
	if asked[3] > 0 {
		l.relay.BlackoutFor(time.Duration(min(asked[3], 60) * float64(time.Second)))
	}
	w.WriteHeader(http.StatusNoContent)
}

// machineAddr returns an address of this machine that its browsers connect to.
// Firefox does not connect to a loopback address.
func machineAddr() netip.Addr {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// freePort finds a port: the relay must know it before the server listens there.
func freePort(a netip.Addr) (netip.AddrPort, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}
