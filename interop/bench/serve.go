//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // on the default mux, which only this machine reaches
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/game"
	"github.com/godwit-rtc/godwit/interop/pionserver"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/webtransport"
)

// serverNames are the servers to compare, the floor first.
var serverNames = []string{"udp", "godwit", "channels", "pion", "websocket", "channels-websocket", "channels-webtransport", "sendmmsg",
	"game-datagrams", "game", "game-handlers", "game-websocket", "game-webtransport", "game-pion", "game-coder", "game-webtransport-go",
	"game-ws", "game-socketio", "game-colyseus"}

// An announcement is the line that a server prints when it is ready.
type announcement struct {
	Load    string `json:"load"`    // URL for the load
	Control string `json:"control"` // URL of /goroutines, /gc and /debug/pprof
}

// serve runs one server until its standard input ends.
func serve(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	relay := f.Bool("relay", false, "send each message to all instead of back")
	rate := f.Int("hz", game.Rate, "ticks of a game a second")
	if err := f.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	base := "http://" + listener.Addr().String()
	url := base + "/new_rtc_session"
	name := f.Arg(0)
	w, isGame := ways[name]
	switch {
	case isGame:
		var g *game.Game
		if g, err = game.New(w.server, listener.Addr().String(), game.Config{Rate: *rate, Poll: w.poll}, http.DefaultServeMux); err == nil {
			url = g.Load
			http.HandleFunc("/ticks", g.Tell)
		}
	default:
		url, err = serveEcho(name, url, *relay)
	}
	if err != nil {
		return err
	}
	http.HandleFunc("/goroutines", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, runtime.NumGoroutine()) })
	http.HandleFunc("/gc", func(http.ResponseWriter, *http.Request) { debug.FreeOSMemory() })
	go http.Serve(listener, nil)
	if err := json.NewEncoder(os.Stdout).Encode(announcement{url, base}); err != nil {
		return err
	}
	os.Stdin.Read(make([]byte, 1)) // returns when the parent process has ended
	return nil
}

// serveEcho starts a server that is no game. It returns the URL for its load.
func serveEcho(name, url string, relay bool) (string, error) {
	var err error
	switch name {
	case "godwit":
		err = serveGodwit(relay)
	case "channels", "channels-websocket", "channels-webtransport": // the load chooses the link
		err = serveChannels(relay, name == "channels-webtransport")
	case "pion":
		err = servePion(relay)
	case "websocket":
		url = "ws" + strings.TrimSuffix(strings.TrimPrefix(url, "http"), "/new_rtc_session") + "/ws"
		serveWebSocket(http.DefaultServeMux)
	case "udp":
		url, err = serveUDP()
	case "sendmmsg":
		url, err = serveSendmmsg()
	default:
		err = fmt.Errorf("no server %q", name)
	}
	return url, err
}

// serveGodwit serves as examples/echo does, without limits per address.
func serveGodwit(relay bool) error {
	var srv *rtcserver.Server
	handler := rtcserver.Handler{
		Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
	}
	if relay {
		handler.Message = func(_ *rtcserver.Conn, m rtcserver.Message) {
			srv.Broadcast(m.Stream, m.Kind, m.Data)
		}
	}
	srv, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Settings: rtcserver.Settings{MaxPerIP: -1, MaxOffers: -1, MaxPending: 1 << 16, MaxConns: 1 << 16},
		Handler:  handler,
	})
	if err != nil {
		return err
	}
	http.Handle("/new_rtc_session", srv)
	return nil
}

// serveChannels serves the same at level two: sessions with a channel that guarantees
// no more than a datagram.
func serveChannels(relay, quic bool) error {
	var srv *godwit.Server
	handler := godwit.Handler{
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
	}
	if relay {
		handler.Message = func(_ *godwit.Conn, ch godwit.ChannelID, b []byte) { srv.Broadcast(ch, b) }
	}
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{
		Channels: godwit.Channels{{Name: channelName, Mode: godwit.Unreliable}},
		Handler:  handler,
		MaxConns: 1 << 16,
		RTC:      rtcserver.Settings{MaxPerIP: -1, MaxOffers: -1, MaxPending: 1 << 16, MaxConns: 1 << 16},
	})
	if err != nil {
		return err
	}
	if quic {
		if err := offerWebTransport(srv); err != nil {
			return err
		}
	}
	http.Handle("/new_rtc_session", srv)
	return nil
}

// offerWebTransport serves WebTransport, too. All clients of the load come from one address, which may have an eighth of the
// visitors.
func offerWebTransport(srv *godwit.Server) error {
	_, err := webtransport.Serve(srv, webtransport.Config{MaxVisitors: 1 << 16})
	return err
}

// channelName is the channel of serveChannels.
const channelName = "unreliable"

// servePion serves with pion/webrtc: lite, one port, detached channels.
func servePion(relay bool) error {
	var all conns
	handler := pionserver.Handler{
		Message: func(c *pionserver.Conn, m pionserver.Message) { c.Send(m.Stream, m.Text, m.Data) },
	}
	if relay {
		handler.Open = all.add
		handler.Message = func(_ *pionserver.Conn, m pionserver.Message) {
			for _, c := range all.list() {
				c.Send(m.Stream, m.Text, m.Data)
			}
		}
	}
	srv, err := pionserver.Listen("127.0.0.1:0", pionserver.Config{Negotiated: []uint16{0}, Handler: handler})
	if err != nil {
		return err
	}
	http.Handle("/new_rtc_session", srv)
	return nil
}

// serveWebSocket serves with coder/websocket, without TLS and without compression.
func serveWebSocket(mux *http.ServeMux) {
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	})
}

// serveUDP is the server to compare with: a Go program with one socket, which reads and
// writes one datagram at a time.
func serveUDP() (url string, err error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return "", err
	}
	c.SetReadBuffer(4 << 20)
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	return "udp://" + c.LocalAddr().String(), nil
}
