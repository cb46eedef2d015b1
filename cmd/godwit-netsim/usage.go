package main

import (
	"flag"
	"fmt"

	"github.com/godwit-rtc/godwit/netsim"
)

const intro = `godwit-netsim relays UDP datagrams between clients and a server, badly.

usage: godwit-netsim -target address [flags]
       godwit-netsim -tun [flags]

Clients send to the address of -listen as if it was the server. Conditions are
those of both directions, or of the way up and the way down with a comma between
them: -loss 5%,1%.

  a player in a train; the server has 127.0.0.1:9000 in Config.RTC.Public, so that
  the page sends there ("go run ./examples/echo -public 127.0.0.1:9000"):
    godwit-netsim -listen 127.0.0.1:9000 -target 127.0.0.1:42424 -preset train
  a round trip of 100 ms, and one datagram in ten is lost on the way up:
    godwit-netsim -target 127.0.0.1:42424 -delay 50ms -loss 10%,0
  two clients that share 1 Mbit/s with a queue of a second:
    godwit-netsim -target 127.0.0.1:42424 -rate 1Mbit -queue 1s -shared
  the same fates again:
    godwit-netsim -target 127.0.0.1:42424 -preset wifi -record wifi.jsonl
    godwit-netsim -target 127.0.0.1:42424 -replay wifi.jsonl
  all traffic of the programs in a network namespace, TCP too; the server here
  listens on 10.98.0.1 or on all addresses, and up is the way to it:
    godwit-netsim -tun -delay 50ms -loss 1% -rate 1Mbit
    nsenter --net=FILE curl http://10.98.0.1:8080/    (it prints FILE)

presets:
`

const commands = `
commands on standard input, while it runs:
  loss 20%        any condition, in the words of its flag
  preset wifi     another network
  blackout 5s     nothing passes for a time; 0 ends it
  rebind          every client gets a new address towards the server; not with -tun
  show            the conditions as they are
  help            these commands
  quit            or end of the process by SIGINT or SIGTERM

Each second it prints what passed and was lost since the last line, and what
waits in queues.
`

func usage(f *flag.FlagSet) {
	out := f.Output()
	fmt.Fprint(out, intro)
	for _, p := range netsim.Presets() {
		fmt.Fprintf(out, "  %-10s %s\n", p.Name, p.About)
	}
	fmt.Fprint(out, "\nflags:\n")
	f.PrintDefaults()
	fmt.Fprint(out, commands)
}
