//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A table has the measured values by row and server.
type table struct {
	rows   []string
	values map[string]map[string][]float64
}

func newTable() *table { return &table{values: make(map[string]map[string][]float64)} }

func (t *table) add(row, server string, value float64) {
	if t.values[row] == nil {
		t.values[row] = make(map[string][]float64)
		t.rows = append(t.rows, row)
	}
	t.values[row][server] = append(t.values[row][server], value)
}

// median returns the value in the middle.
func (t *table) median(row, server string) (float64, bool) {
	v := slices.Clone(t.values[row][server])
	if len(v) == 0 {
		return 0, false
	}
	slices.Sort(v)
	if len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2, true
	}
	return v[len(v)/2], true
}

// floors are the servers with which the others are compared. The other rows are printed
// without a ratio. Sessions over a WebSocket are compared with bare WebSockets.
var floors = map[string]string{rowEcho: "udp", rowFlood: "udp", rowFloodCPU: "udp", rowIdleCPU: "udp", rowFanout: "sendmmsg"}

var titles = map[string]string{
	"udp": "plain UDP", "godwit": "godwit", "pion": "pion/webrtc", "websocket": "coder/websocket", "sendmmsg": "bare sendmmsg",
	"channels": "godwit, channels", "channels-websocket": "godwit, channels over WebSocket", "channels-webtransport": "godwit, channels over WebTransport",
	"game": "a loop that polls", "game-handlers": "handlers and a ticker", "game-websocket": "over WebSocket", "game-webtransport": "over WebTransport",
	"game-datagrams": "datagrams", "game-pion": "pion/webrtc", "game-coder": "coder/websocket", "game-webtransport-go": "webtransport-go",
	"game-ws": "ws", "game-socketio": "socket.io", "game-colyseus": "Colyseus",
}

// printHead writes a description of the machine and of the measurement.
func printHead(w io.Writer) {
	fmt.Fprintf(w, "%s, %s, %s.\n\n`%s`\n", time.Now().Format(time.DateOnly), machine(), runtime.Version(),
		strings.Join(append([]string{"cd interop && go run ./bench"}, os.Args[1:]...), " "))
}

// servers returns the servers that have values, in order.
func (t *table) servers() []string {
	return slices.DeleteFunc(slices.Clone(serverNames), func(server string) bool {
		return !slices.ContainsFunc(t.rows, func(row string) bool { return len(t.values[row][server]) > 0 })
	})
}

// print writes the table as Markdown, unless it is empty. The ratio to the floor is in
// parentheses, the spread of the runs in brackets.
func (t *table) print(w io.Writer) {
	servers := t.servers()
	if len(servers) == 0 {
		return
	}
	fmt.Fprint(w, "\n| figure |")
	for _, server := range servers {
		fmt.Fprintf(w, " %s |", titles[server])
	}
	fmt.Fprintf(w, "\n| --- |%s\n", strings.Repeat(" --- |", len(servers)))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |", row)
		for _, server := range servers {
			fmt.Fprintf(w, " %s |", t.cell(row, server))
		}
		fmt.Fprintln(w)
	}
}

func (t *table) cell(row, server string) string {
	v, ok := t.median(row, server)
	if !ok {
		return ""
	}
	s := number(v)
	name := floors[row]
	if server == "channels-websocket" || server == "channels-webtransport" {
		name = "websocket"
	}
	if floor, ok := t.median(row, name); ok && floor > 0 && server != name {
		s += fmt.Sprintf(" (%.2f×)", v/floor)
	}
	if all := t.values[row][server]; len(all) > 1 {
		s += fmt.Sprintf(" [%s–%s]", number(slices.Min(all)), number(slices.Max(all)))
	}
	return s
}

// number prints three significant digits.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// machine returns the processor, the number of cores and the kernel.
func machine() string {
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(v)
				break
			}
		}
	}
	kernel, _ := exec.Command("uname", "-sr").Output()
	return fmt.Sprintf("%s, %d cores, %s", cpu, runtime.NumCPU(), strings.TrimSpace(string(kernel)))
}
