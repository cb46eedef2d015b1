package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/load"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// The whole program against a real server on this machine.
func TestEchoes(t *testing.T) {
	server, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		MaxPerIP: -1, MaxOffers: -1,
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
	args := []string{"echo", "-url", web.URL, "-clients", "5", "-rate", "200", "-duration", "50ms", "-warmup", "0s", "-json"}
	if runtime.GOOS == "linux" {
		args = append(args, "-pid", strconv.Itoa(os.Getpid()))
	}
	var out bytes.Buffer
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r load.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if r.Connected != 5 || r.Received == 0 || r.Foreign != 0 {
		t.Errorf("%+v", r)
	}
	if runtime.GOOS == "linux" && (r.Server.CPUPerConnect <= 0 || r.Server.RSS == 0) {
		t.Errorf("the server was not measured: %+v", r.Server)
	}
}

func TestMistakesAreExplained(t *testing.T) {
	for args, want := range map[string]string{
		"":                        "the first argument must be what to do",
		"-clients 3":              "the first argument must be what to do",
		"dance":                   `"dance" is not echo`,
		"echo -clients 0":         "-clients 0",
		"echo -size 5000":         "-size 5000",
		"echo -rate -1":           "-rate must not be negative",
		"echo now":                `"now" is no flag`,
		"echo -speed 9":           "-speed",
		"echo -url localhost":     "no URL",
		"echo -url udp://nowhere": "missing port",
		"idle -pid 999999999":     "no process 999999999",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, &out, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"usage: godwit-bench", "-clients number", "taskset"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help has no %q", want)
		}
	}
}
