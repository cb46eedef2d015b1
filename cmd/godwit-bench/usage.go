package main

import (
	"flag"
	"fmt"
	"io"
)

const help = `usage: godwit-bench echo|play|flood|idle|storm|fanout [flags]

Connects clients to a WebRTC server, as web pages would, and measures it.

  echo     every client sends -rate messages a second, evenly; the server returns each
  play     every client sends -rate messages a second, evenly; the server sends what
           it likes, such as the state of a game in every tick
  flood    every client has -window messages under way; the server returns each
  idle     clients connect and stay
  storm    clients connect all at once
  fanout   the first client sends -rate messages a second; the server sends each to all

Clients send datagrams without channels, unless -channel names channels of a
godwit server: then they are sessions of package client. A bad link to the server
is made with -loss and -rtt.

Examples, with "go run ./examples/echo" as the server:

  godwit-bench echo -clients 100 -rate 60 -size 200 -duration 10s
  godwit-bench echo -channel newest,every -rate 20 -loss 10% -rtt 100ms
  godwit-bench flood -clients 50 -window 16 -pid $(pgrep -x echo)
  godwit-bench idle -clients 2000 -duration 30s -pid $(pgrep -x echo)
  godwit-bench storm -clients 1000 -json > storm.json
  godwit-bench echo -url udp://127.0.0.1:9000

The server should have a processor to itself, and this program another: begin
both with taskset on Linux. "load CPU" near 100 % means that this program, not
the server, is what was measured. Clients of a server on this machine have
addresses of their own in 127.64.0.0/10 (Linux), for limits per address too.
On a channel a client sends and gets what congestion control allows, by default
256 KiB a second at most, which is what a flood measures then.

`

func usage(f *flag.FlagSet, out io.Writer) {
	fmt.Fprint(out, help)
	f.SetOutput(out)
	f.PrintDefaults()
}
