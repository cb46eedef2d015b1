//go:build linux

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/load"
)

func TestTable(t *testing.T) {
	tab := newTable()
	for _, v := range []float64{12, 10, 11} {
		tab.add(rowEcho, "udp", v)
	}
	tab.add(rowEcho, "godwit", 13.2)
	tab.add(rowEcho, "websocket", 20)
	tab.add(rowEcho, "channels-websocket", 23)
	tab.add(rowRSS, "godwit", 11.46)
	tab.add(rowRSS, "godwit", 1146)
	tab.add(rowRSS, "pion", 280)
	var b bytes.Buffer
	tab.print(&b)
	for _, want := range []string{
		"| figure | plain UDP | godwit | pion/webrtc | coder/websocket | godwit, channels over WebSocket |\n",
		"| " + rowEcho + " | 11.0 [10.0–12.0] | 13.2 (1.20×) |  | 20.0 (1.82×) | 23.0 (1.15×) |",
		"| " + rowRSS + " |  | 579 [11.5–1146] | 280 |  |  |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report does not have %q:\n%s", want, &b)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0.004: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 123456: "123456"} {
		if got := number(v); got != want {
			t.Errorf("%v is printed as %s, want %s", v, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-figures", "echo,storm", "-servers", "godwit"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !wants(o.figures, "storm") || wants(o.figures, "idle") || !wants(o.servers, "godwit") || wants(o.servers, "pion") {
		t.Errorf("the selection is %+v", o)
	}
	if !wants("", "anything") {
		t.Error("an empty list does not want all")
	}
	for _, args := range [][]string{{"-figures", "speed"}, {"-servers", "apache"}, {"-runs", "x"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("the arguments %v are accepted", args)
		}
	}
}

// The servers that internal/load does not test echo its messages.
func TestServersEcho(t *testing.T) {
	mux := http.NewServeMux()
	serveWebSocket(mux)
	web := httptest.NewServer(mux)
	defer web.Close()
	udp, err := serveUDP()
	if err != nil {
		t.Fatal(err)
	}
	fan, err := serveSendmmsg()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		url  string
		mode load.Mode
	}{
		"websocket": {"ws" + web.URL[len("http"):] + "/ws", load.Echo},
		"udp":       {udp, load.Echo},
		"sendmmsg":  {fan, load.Fanout},
	} {
		r := runLoad(t, c.url, load.GodwitConfig{}, load.Config{Mode: c.mode, Clients: 10, Rate: 200, Duration: 300 * time.Millisecond})
		if r.Received == 0 || r.Loss > 0.5 {
			t.Errorf("%s: %+v, want messages and a loss of at most a half", name, r)
		}
	}
}

// runLoad runs a load for a short time, and again if this process got too little processor time.
func runLoad(t *testing.T, url string, g load.GodwitConfig, c load.Config) *load.Report {
	t.Helper()
	for {
		transport, err := transport(t.Context(), url, g)
		if err != nil {
			t.Fatal(err)
		}
		r, err := load.Run(t.Context(), transport, c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Sent >= 20 {
			return r
		}
	}
}
