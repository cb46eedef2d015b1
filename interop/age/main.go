//go:build linux

// Age measures how old the newest state of a game is at the receiver, over TCP of the kernel
// on a narrow link, while a bulk transfer uses the same connection: with a godwit session over
// a WebSocket, and with a plain WebSocket that sends both; direct and through nginx.
//
//	cd interop && go run ./age
//
// It needs root, and nginx for half of the rows. Each row has a link of its own (netsim.Tun)
// between two new network namespaces.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "age:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	link     netsim.Link // without Delay
	rtts     []time.Duration
	duration time.Duration
	parallel int
	up       bool
	priority int
	tcp      string
	only     string
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("age", flag.ContinueOnError)
	rate := f.Float64("rate", 1, "`Mbit/s` of the link, in each direction")
	f.IntVar(&o.link.Queue, "queue", 64<<10, "`bytes` that may wait for the rate, in each direction")
	f.Float64Var(&o.link.Loss, "loss", 0, "`share` of packets that are lost, in each direction")
	f.DurationVar(&o.link.Jitter, "jitter", 0, "largest random `time` of a packet, in each direction")
	f.Func("rtt", "round `trip`; may be repeated; none means 50ms and 100ms", func(s string) error {
		d, err := time.ParseDuration(s)
		o.rtts = append(o.rtts, d)
		return err
	})
	f.DurationVar(&o.duration, "duration", 30*time.Second, "`time` of each row, after 5 s that do not count")
	f.IntVar(&o.parallel, "parallel", 1, "`number` of rows at a time")
	f.BoolVar(&o.up, "up", false, "the client sends to the server; otherwise the server sends")
	f.IntVar(&o.priority, "priority", 0, "`number` of the bulk channel's priority, 0 to 7; the states have 0")
	f.StringVar(&o.tcp, "tcp", "reno", "`name` of the congestion control of TCP at both ends, such as reno, cubic or bbr")
	f.StringVar(&o.only, "only", "", "`name` of the only program: godwit or websocket")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.link.Rate = int(*rate * 1e6 / 8)
	if o.rtts == nil {
		o.rtts = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond}
	}
	return o, nil
}

// A row is one measurement.
type row struct {
	program string // godwit or websocket
	proxy   bool
	rtt     time.Duration
	result  result
	err     error
}

// measure measures all rows and prints them.
func measure(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	_, err = exec.LookPath("nginx")
	if err != nil {
		fmt.Fprintln(os.Stderr, "no rows through nginx: it is not installed")
	}
	var rows []*row
	for _, rtt := range o.rtts {
		for _, proxy := range []bool{false, true} {
			for _, program := range []string{"godwit", "websocket"} {
				if (!proxy || err == nil) && (o.only == "" || o.only == program) {
					rows = append(rows, &row{program: program, proxy: proxy, rtt: rtt})
				}
			}
		}
	}
	var all sync.WaitGroup
	places := make(chan struct{}, max(1, o.parallel))
	for _, r := range rows {
		places <- struct{}{}
		all.Go(func() {
			r.err = r.run(ctx, o)
			<-places
		})
	}
	all.Wait()
	fmt.Fprintf(out, "| program | way | RTT | states/s | age p50 | age p99 | oldest | bulk kB/s |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		if r.err != nil {
			return fmt.Errorf("%s: %w", r.program, r.err)
		}
		way := "direct"
		if r.proxy {
			way = "nginx"
		}
		fmt.Fprintf(out, "| %s | %s | %d ms | %.1f | %d ms | %d ms | %d ms | %.1f |\n", r.program, way, r.rtt.Milliseconds(),
			r.result.perSecond, r.result.p50.Milliseconds(), r.result.p99.Milliseconds(), r.result.oldest.Milliseconds(), r.result.bulk/1000)
	}
	return nil
}

// run measures one row.
func (r *row) run(ctx context.Context, o options) error {
	l := o.link
	l.Delay = r.rtt / 2
	tun, err := netsim.OpenTun(netsim.TunConfig{Up: l, Down: l, Seed: 1})
	if err != nil {
		return err
	}
	defer tun.Close()
	for _, n := range []*netsim.Namespace{tun.Near(), tun.Far()} {
		err := n.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte(o.tcp), 0) })
		if err != nil {
			return fmt.Errorf("-tcp %s: %w", o.tcp, err)
		}
	}
	ctx, stop := context.WithTimeout(ctx, warmup+o.duration)
	defer stop()
	b := newBook(time.Now().Add(warmup))
	run := runGodwit
	if r.program == "websocket" {
		run = runWebSocket
	}
	if err := run(ctx, &site{tun: tun, proxy: r.proxy}, o, b); err != nil {
		return err
	}
	r.result = b.close()
	return nil
}

// warmup is the time that does not count: TCP and godwit find the rate of the link.
const warmup = 5 * time.Second
