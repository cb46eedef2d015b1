package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/load"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/version"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// The whole program against a real server on this machine.
func TestEchoes(t *testing.T) {
	server, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Settings: rtcserver.Settings{MaxPerIP: -1, MaxOffers: -1},
		Handler: rtcserver.Handler{
			Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	args := []string{"echo", "-url", web.URL, "-clients", "5", "-rate", "200", "-warmup", "0s", "-json"}
	if runtime.GOOS == "linux" {
		args = append(args, "-pid", strconv.Itoa(os.Getpid()))
	}
	r := runReport(t, args, 20)
	if r.Connected != 5 || r.Received == 0 || r.Foreign != 0 {
		t.Errorf("%+v, want 5 connections, messages, none of them foreign", r)
	}
	if runtime.GOOS == "linux" && (r.Server.CPUPerConnect <= 0 || r.Server.RSS == 0) {
		t.Errorf("the server was not measured: %+v", r.Server)
	}
}

// Each client sends bare datagrams from an address of its own, where the system allows it.
func TestEchoesOfDatagrams(t *testing.T) {
	server, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	sources, over := map[netip.AddrPort]bool{}, make(chan struct{})
	go func() {
		defer close(over)
		b := make([]byte, 2000)
		for {
			n, from, err := server.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			sources[from] = true
			server.WriteToUDPAddrPort(b[:n], from) // if it fails, the message is lost
		}
	}()
	r := runReport(t, []string{"echo", "-url", "udp://" + server.LocalAddr().String(), "-clients", "5", "-rate", "200", "-warmup", "0s", "-json"}, 20)
	server.Close()
	<-over
	if r.Connected != 5 || r.Received == 0 || r.Foreign != 0 {
		t.Errorf("%+v, want 5 clients, messages, none of them foreign", r)
	}
	if runtime.GOOS == "linux" && len(sources) < 5 {
		t.Errorf("the datagrams come from %v, want 5 addresses", sources)
	}
	for from := range sources {
		if runtime.GOOS == "linux" && !load.Sources.Contains(from.Addr().Unmap()) {
			t.Errorf("a datagram comes from %v, want an address in %v", from, load.Sources)
		}
	}
}

// Connections and sessions that the server ends are counted.
func TestEndsAreCounted(t *testing.T) {
	plain, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{Handler: rtcserver.Handler{
		Message: func(c *rtcserver.Conn, _ rtcserver.Message) { c.Close("enough") },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	server, err := godwit.Listen("127.0.0.1:0", godwit.Config{
		Channels: godwit.Channels{{Name: "newest", Mode: godwit.Sequenced}}, // the load waits 10 s for reliable messages
		Handler:  godwit.Handler{Message: func(c *godwit.Conn, _ godwit.ChannelID, _ []byte) { c.Kick("enough") }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, c := range map[string]struct {
		http.Handler
		more []string
	}{"connections": {plain, nil}, "sessions": {server, []string{"-channel", "newest"}}} {
		web := httptest.NewServer(c)
		defer web.Close()
		var r load.Report
		for d := 200 * time.Millisecond; r.Closed == 0 && d < testkit.Patience; d *= 4 { // a busy machine may not send in a short time
			r = runFor(t, append([]string{"echo", "-url", web.URL, "-clients", "1", "-rate", "100", "-warmup", "0s", "-json"}, c.more...), d)
		}
		if r.Closed != 1 || r.LastEnd == "" {
			t.Errorf("%s: %d have ended, the last with %q; want 1 and why", name, r.Closed, r.LastEnd)
		}
	}
}

// Sessions are loaded over UDP: no WebSocket takes its place.
func TestNoWebSocketInPlaceOfUDP(t *testing.T) {
	server, err := godwit.Listen("127.0.0.1:0", godwit.Config{
		Channels: godwit.Channels{{Name: "newest", Mode: godwit.Sequenced}}, Links: []string{session.LinkWebSocket},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	args := []string{"echo", "-url", web.URL, "-clients", "1", "-rate", "100", "-warmup", "0s", "-duration", "100ms", "-channel", "newest"}
	if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
		t.Error("a server that has only WebSockets is measured")
	}
}

// runReport runs a load for a short time, and again for longer if this process got too little processor
// time for so many messages.
func runReport(t *testing.T, args []string, messages uint64) (r load.Report) {
	t.Helper()
	for d := 300 * time.Millisecond; r.Sent < messages; d *= 2 {
		r = runFor(t, args, d)
	}
	return r
}

// runFor runs a load for some time.
func runFor(t *testing.T, args []string, d time.Duration) (r load.Report) {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), append(args, "-duration", d.String()), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return r
}

// Sessions on channels, over a link that loses a fifth of the datagrams each way: reliable
// messages arrive nevertheless. The server has its own limits.
func TestChannelsUnderLoss(t *testing.T) {
	server, err := godwit.Listen("127.0.0.1:0", godwit.Config{
		Channels: godwit.Channels{
			{Name: "newest", Mode: godwit.Sequenced},
			{Name: "state", Direction: godwit.ToClient},
			{Name: "every", Mode: godwit.ReliableOrdered},
		},
		Schema: "requests", Version: "7", Secret: "sesame",
		RTC:     rtcserver.Settings{MaxPerIP: 1}, // each client has its own address
		Handler: godwit.Handler{Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	args := func(more string) []string {
		return strings.Fields("echo -quiet -duration 200ms -warmup 0s -rate 100 -url " + web.URL + " " + more)
	}
	for more, want := range map[string]string{
		"-channel chat -token sesame":   `no channel "chat"; it has newest (sequenced), state (unreliable), every (reliable-ordered)`,
		"-channel state -token sesame":  `only the server may send on channel "state"`,
		"-channel newest -token tahini": "401",
	} {
		if err := run(t.Context(), args(more), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", more, err, want)
		}
	}
	clients := "-clients 5"
	if runtime.GOOS != "linux" {
		clients = "-clients 1"
	}
	r := runReport(t, args(clients+" -channel newest,every -token sesame -loss 20% -rtt 10ms -json"), 100) // so many that some are lost
	if r.Failed != 0 || len(r.Channels) != 2 || r.Foreign != 0 {
		t.Fatalf("%+v, want two channels, no failures and no foreign messages", r)
	}
	newest, every := r.Channels[0], r.Channels[1]
	if newest.Name != "newest" || newest.Mode != "sequenced" || newest.Loss == 0 || newest.Latency.P50 < 10 {
		t.Errorf("the channel newest: %+v, want losses and a latency", newest)
	}
	if every.Name != "every" || every.Mode != "reliable-ordered" || every.Sent == 0 || every.Received != every.Sent {
		t.Errorf("the channel every: %+v, want no losses", every)
	}
}

func TestMistakesAreExplained(t *testing.T) {
	for args, want := range map[string]string{
		"":                                     "the first argument must be what to do",
		"-clients 3":                           "the first argument must be what to do",
		"dance":                                `"dance" is not echo`,
		"echo -clients 0":                      "-clients 0",
		"echo -size 5000":                      "-size 5000",
		"echo -rate -1":                        "-rate must not be negative",
		"echo now":                             `"now" is no flag`,
		"echo -speed 9":                        "-speed",
		"echo -url localhost":                  "no URL",
		"echo -url udp://nowhere":              "missing port",
		"echo -loss 2":                         "-loss 2 is not a share",
		"echo -rtt -1s":                        "-rtt -1s",
		"echo -channel a -size 9999999":        "-size 9999999 is not between 16 and 1048576",
		"echo -url udp://127.0.0.1:9 -loss 1%": "leave out -channel, -loss and -rtt",
		"echo -channel a -url http://127.0.0.1:1/": "connection refused",
		"idle -pid 999999999":                      "no process 999999999",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", args, err, want)
		}
	}
}

func TestVersion(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-version"}, &out, nil); err != nil || out.String() != "godwit-bench "+version.Version+"\n" {
		t.Errorf("%v, %q; want the version %s", err, &out, version.Version)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, &out, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: %v, want flag.ErrHelp", err)
	}
	for _, want := range []string{"usage: godwit-bench", "-clients number", "taskset"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help does not have %q", want)
		}
	}
}
