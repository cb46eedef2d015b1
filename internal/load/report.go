package load

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// A Report is the result of a run. Times are in milliseconds if no other unit is given.
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
	SentPerSecond     float64 `json:"sent_per_second"`
	Received          uint64  `json:"received"`
	MessagesPerSecond float64 `json:"messages_per_second"` // that came
	Loss              float64 `json:"loss"`                // share
	Latency           Latency `json:"latency_ms"`
	Spacing           Latency `json:"spacing_ms"` // Play: between what comes to one client

	// Channels are the same of each channel, if they have names.
	Channels []ChannelReport `json:"channels,omitempty"`

	Refused      uint64 `json:"refused,omitempty"`       // messages that could not be sent
	FirstRefusal string `json:"first_refusal,omitempty"` // why
	Foreign      uint64 `json:"foreign,omitempty"`       // messages that are not of this program
	Interrupted  uint64 `json:"interrupted,omitempty"`   // times that a session lost the server
	Closed       uint64 `json:"closed,omitempty"`        // connections that ended too early
	LastEnd      string `json:"last_end,omitempty"`      // why

	// LoadDrops are datagrams that reached this process's sockets and were dropped
	// because it did not read them in time. They count as lost.
	LoadDrops uint64 `json:"load_drops,omitempty"`

	// LoadCPU is the number of cores that this process has used. If it is near 1 on a single
	// core, the report is about this process and not about the server.
	LoadCPU float64 `json:"load_cpu"`

	Server Server `json:"server"`
}

// A ChannelReport has the measurements of one channel.
type ChannelReport struct {
	Name     string  `json:"name"`
	Mode     string  `json:"mode"`
	Sent     uint64  `json:"sent"`
	Received uint64  `json:"received"`
	Loss     float64 `json:"loss"` // share
	Latency  Latency `json:"latency_ms"`
}

// Server has the measurements of the server's process.
type Server struct {
	PID              int     `json:"pid,omitempty"`
	CPU              float64 `json:"cpu"`                // cores, while measured
	CPUPerClient     float64 `json:"cpu_per_client"`     // cores
	CPUPerMessage    float64 `json:"cpu_us_per_message"` // microseconds, of those that came
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
	r.report.Server.CPUPerClient = r.report.Server.CPU / float64(len(r.clients))
	if n := to.received - from.received; n > 0 {
		r.report.Server.CPUPerMessage = float64(cpu.Microseconds()) / float64(n)
	}
}

// finish fills in the rest.
func (r *run) finish(before process) {
	p := &r.report
	p.Sent, p.Received, p.Refused, p.Foreign = r.sent(), r.received(), r.refused.Load(), r.foreign.Load()
	p.FirstRefusal, p.LastEnd = text(&r.firstRefusal), text(&r.lastEnd)
	p.Interrupted, p.Closed = r.interrupted.Load(), r.closed.Load()
	if p.Seconds > 0 {
		p.SentPerSecond = float64(p.Sent) / p.Seconds
		p.MessagesPerSecond = float64(p.Received) / p.Seconds
	}
	p.LoadDrops = r.transport.Drops()
	p.Latency, p.Spacing = r.latency().Latency(), r.spacing.Latency()
	if p.Mode != Play {
		p.Loss = r.loss(p.Sent, p.Received)
		r.channels()
	}
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

// channels fills in what was measured of each channel.
func (r *run) channels() {
	for i, c := range r.transport.Channels() {
		if c.Name == "" || r.sent() == 0 {
			continue
		}
		l := &r.lanes[i]
		sent, received := l.sent.Load(), l.received.Load()
		r.report.Channels = append(r.report.Channels, ChannelReport{
			Name: c.Name, Mode: c.Mode, Sent: sent, Received: received, Loss: r.loss(sent, received), Latency: l.latency.Latency(),
		})
	}
}

// loss returns the share that is lost of what was sent.
func (r *run) loss(sent, received uint64) float64 {
	if sent == 0 {
		return 0
	}
	return max(1-float64(received)/float64(r.expected(sent)), 0)
}

func text(p *atomic.Pointer[string]) string {
	if s := p.Load(); s != nil {
		return *s
	}
	return ""
}

// Print writes the report for people.
func (p *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "connected   %d of %d in %.2f s (%.0f/s), p50 %.1f ms, p99 %.1f ms, longest %.1f ms\n",
		p.Connected, p.Clients, p.ConnectSeconds, p.ConnectsPerSecond, p.Connect.P50, p.Connect.P99, p.Connect.Max)
	if p.Failed > 0 {
		fmt.Fprintf(w, "failed      %d, the last with: %s\n", p.Failed, p.LastError)
	}
	p.printMessages(w)
	if p.Refused > 0 {
		fmt.Fprintf(w, "refused     %d messages could not be sent, the first because of: %s\n", p.Refused, p.FirstRefusal)
	}
	if p.Foreign > 0 {
		fmt.Fprintf(w, "foreign     %d messages were not ours\n", p.Foreign)
	}
	if p.Interrupted > 0 {
		fmt.Fprintf(w, "interrupted %d times a client lost the server\n", p.Interrupted)
	}
	if p.Closed > 0 {
		fmt.Fprintf(w, "closed      %d connections ended too early, the last with: %s\n", p.Closed, p.LastEnd)
	}
	if p.LoadDrops > 0 {
		fmt.Fprintf(w, "dropped     %d datagrams by this machine, because this process was too slow\n", p.LoadDrops)
	}
	if s := &p.Server; s.PID != 0 {
		fmt.Fprintf(w, "server      CPU %.1f %%, %.4f %% per client", 100*s.CPU, 100*s.CPUPerClient)
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

// printMessages writes how many messages arrived.
func (p *Report) printMessages(w io.Writer) {
	switch {
	case p.Sent == 0:
		return
	case p.Mode == Play:
		fmt.Fprintf(w, "messages    %.0f/s of %d bytes to the server, %.0f/s from it\n", p.SentPerSecond, p.Size, p.MessagesPerSecond)
		fmt.Fprintf(w, "spacing     %s\n", &p.Spacing)
		return
	}
	fmt.Fprintf(w, "messages    %.0f/s of %d bytes to the server, %.0f/s from it; %d sent, %d came, loss %.3f %%\n",
		p.SentPerSecond, p.Size, p.MessagesPerSecond, p.Sent, p.Received, 100*p.Loss)
	if len(p.Channels) == 0 {
		fmt.Fprintf(w, "latency     %s\n", &p.Latency)
	}
	for i := range p.Channels {
		c := &p.Channels[i]
		fmt.Fprintf(w, "channel     %s, %s: loss %.3f %%, %s\n", c.Name, c.Mode, 100*c.Loss, &c.Latency)
	}
}
