package load

import (
	"fmt"
	"io"
	"time"
)

// A Report is what came of a run. Times are in milliseconds unless they say
// otherwise.
type Report struct {
	Mode    Mode    `json:"mode"`
	Clients int     `json:"clients"`
	Size    int     `json:"size"`
	Rate    float64 `json:"rate,omitempty"` // messages a second that were to be sent

	Connected         int     `json:"connected"`
	Failed            int     `json:"failed"`
	LastError         string  `json:"last_error,omitempty"` // of those that failed
	ConnectSeconds    float64 `json:"connect_seconds"`
	ConnectsPerSecond float64 `json:"connects_per_second"`
	Connect           Latency `json:"connect_ms"`

	Seconds           float64 `json:"seconds"` // that were measured
	Sent              uint64  `json:"sent"`
	Received          uint64  `json:"received"`
	Loss              float64 `json:"loss"` // share
	MessagesPerSecond float64 `json:"messages_per_second"`
	Latency           Latency `json:"latency_ms"`

	Refused uint64 `json:"refused,omitempty"` // messages that could not be sent
	Foreign uint64 `json:"foreign,omitempty"` // messages that are not of this program

	// LoadDrops are datagrams that reached this process's sockets and were dropped
	// because it did not read them in time. They count as lost.
	LoadDrops uint64 `json:"load_drops,omitempty"`

	// LoadCPU is how much of a core this process took. Near 1 of a single core, it
	// is this process and not the server that is measured.
	LoadCPU float64 `json:"load_cpu"`

	Server Server `json:"server"`
}

// Server is what the server's process took.
type Server struct {
	PID              int     `json:"pid,omitempty"`
	CPU              float64 `json:"cpu"`                // cores, while measured
	CPUPerMessage    float64 `json:"cpu_us_per_message"` // microseconds
	CPUPerConnect    float64 `json:"cpu_ms_per_connect"`
	RSSBefore        int64   `json:"rss_before_kb"` // with no client
	RSS              int64   `json:"rss_kb"`        // at the end, clients connected
	RSSPerConnection float64 `json:"rss_kb_per_connection"`
}

// figures fills in what was counted between two moments.
func (r *run) figures(from, to counts) {
	seconds := time.Duration(to.at - from.at).Seconds()
	if seconds <= 0 {
		return
	}
	r.report.Seconds = seconds
	r.report.LoadCPU = (to.own - from.own).Seconds() / seconds
	cpu := to.process.cpu - from.process.cpu
	r.report.Server.CPU = cpu.Seconds() / seconds
	if n := to.received - from.received; n > 0 {
		r.report.Server.CPUPerMessage = float64(cpu.Microseconds()) / float64(n)
	}
}

// finish fills in the rest.
func (r *run) finish(before process) {
	p := &r.report
	p.Sent, p.Received, p.Refused, p.Foreign = r.sent.Load(), r.received.Load(), r.refused.Load(), r.foreign.Load()
	if p.Seconds > 0 {
		p.MessagesPerSecond = float64(p.Received) / p.Seconds
	}
	p.LoadDrops = r.transport.Drops()
	expected := p.Sent
	if p.Mode == Fanout {
		expected *= uint64(len(r.clients))
	}
	if expected > 0 {
		p.Loss = max(1-float64(p.Received)/float64(expected), 0)
	}
	p.Latency = r.latency.Latency()
	if r.config.PID == 0 {
		return
	}
	after, err := readProcess(r.config.PID)
	if err != nil {
		return
	}
	p.Server.PID = r.config.PID
	p.Server.RSSBefore, p.Server.RSS = before.rss>>10, after.rss>>10
	if n := len(r.clients); n > 0 {
		p.Server.RSSPerConnection = float64(after.rss-before.rss) / 1024 / float64(n)
	}
}

// Print writes the report for people.
func (p *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "connected   %d of %d in %.2f s (%.0f/s), p50 %.1f ms, p99 %.1f ms, longest %.1f ms\n",
		p.Connected, p.Clients, p.ConnectSeconds, p.ConnectsPerSecond, p.Connect.P50, p.Connect.P99, p.Connect.Max)
	if p.Failed > 0 {
		fmt.Fprintf(w, "failed      %d, the last with: %s\n", p.Failed, p.LastError)
	}
	if p.Sent > 0 {
		fmt.Fprintf(w, "messages    %.0f/s of %d bytes, %d sent, %d came, loss %.3f %%\n",
			p.MessagesPerSecond, p.Size, p.Sent, p.Received, 100*p.Loss)
		fmt.Fprintf(w, "latency     p50 %.3f ms, p90 %.3f, p99 %.3f, p99.9 %.3f, longest %.3f\n",
			p.Latency.P50, p.Latency.P90, p.Latency.P99, p.Latency.P999, p.Latency.Max)
	}
	if p.Refused > 0 {
		fmt.Fprintf(w, "refused     %d messages could not be sent\n", p.Refused)
	}
	if p.Foreign > 0 {
		fmt.Fprintf(w, "foreign     %d messages were not ours\n", p.Foreign)
	}
	if p.LoadDrops > 0 {
		fmt.Fprintf(w, "dropped     %d datagrams by this machine, because this process was too slow\n", p.LoadDrops)
	}
	if s := &p.Server; s.PID != 0 {
		fmt.Fprintf(w, "server      CPU %.1f %%", 100*s.CPU)
		if s.CPUPerMessage > 0 {
			fmt.Fprintf(w, ", %.2f µs per message", s.CPUPerMessage)
		}
		fmt.Fprintf(w, ", %.3f ms per connect; RSS %d KB, %.1f KB per connection\n",
			s.CPUPerConnect, s.RSS, s.RSSPerConnection)
	}
	if p.Seconds > 0 {
		fmt.Fprintf(w, "load        CPU %.1f %% of this process\n", 100*p.LoadCPU)
	}
}
