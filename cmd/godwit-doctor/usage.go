package main

import (
	"flag"
	"fmt"
)

const intro = `godwit-doctor says why players cannot reach a godwit server, and what to do.

usage: godwit-doctor [flags] URL
       godwit-doctor -server [-port PORT] [URL]

URL is that to which pages send their offers: the one in connect("…") of the
game's script. That of the page is good, too. Run it where a player is: in
another network than the server, if the game is on the internet.

  a game on this machine, as "go run ./examples/boxes" starts it:
    godwit-doctor http://localhost:8080/
  a game on the internet, whose page is on another host:
    godwit-doctor -origin https://game.example https://eu1.game.example/godwit/
  a server that wants tokens, which are good once each:
    godwit-doctor -token "$A" -token "$B" https://game.example/godwit/
  nothing comes back over UDP: is it this network?
    godwit-doctor -stun stun.l.google.com:19302 https://game.example/godwit/
  the machine of the server itself, as root:
    godwit-doctor -server -port 7777 http://localhost:8080/godwit/

It does not join the game: it begins a session, and leaves before the session
opens. It sends less than 100 KB, and needs a few seconds.

flags:
`

const outcome = `
Each line has an outcome, the name of a check, and what it has found:
  ok     nothing is wrong
  warn   players connect, but look at it
  FAIL   players, or some of them, do not connect
  skip   not checked, or of no importance here
The word in brackets is the name of the fault, the same in every version;
docs/doctor.md describes each. The exit code is 0 without a FAIL, 1 with one,
and 2 after a mistake on the command line.
`

func usage(f *flag.FlagSet) {
	out := f.Output()
	fmt.Fprint(out, intro)
	f.PrintDefaults()
	fmt.Fprint(out, outcome)
}
