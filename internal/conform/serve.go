// Package conform tests another implementation of a client: it is a server of docs/PROTOCOL.md
// and docs/SESSION.md, and says which clause the client violates. The command godwit-conform
// runs it.
//
// A [Case] is one session. The package has its own reader and writer of the protocol, which
// share no code with package channel.
package conform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"time"
)

// Driver says what a client needs around it to be examined.
const Driver = `godwit-conform examines a client of docs/PROTOCOL.md and docs/SESSION.md.

The client under test runs this loop, once or several times side by side:

  1. GET /next. Status 204 means that there are no more cases.
     Else the answer is JSON: {"case": NAME, "path": PATH, "channels": TABLE}.
  2. Connect to PATH of this server with the table of channels
       ` + "1 unreliable, 2 sequenced, 3 unordered (reliable), 4 ordered (reliable)" + `
     (TABLE is its text, with the defaults written out).
     Connecting fails in some cases: that is what is examined.
  3. While the session lasts:
     send each message back on the channel that it came on, also on channels that
     the server opens later;
     answer a request "echo" with its payload, a request "ack" with ACK, and reject
     all others.
  4. When the session is over, or could not be begun, go to 1.

A client that begins new sessions by itself must not do so here.
`

// ErrFailed is returned by Serve if the client has failed a case.
var ErrFailed = errors.New("the client does not conform")

// lingering is how long Serve still answers after the last case, so that clients learn that
// there are no more cases.
const lingering = time.Second

// Choose returns the cases whose name matches.
func Choose(pattern string) (chosen []Case, err error) {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	for _, c := range cases {
		if match.MatchString(c.Name) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no case matches %q; -list prints their names", pattern)
	}
	return chosen, nil
}

// Serve serves the cases until all are over, or ctx is. Serve writes the results to out;
// when Serve returns, nothing more is written. Other paths than those of the cases are
// files's, which may be nil.
func Serve(ctx context.Context, listener net.Listener, chosen []Case, slack time.Duration, out io.Writer, files http.Handler) error {
	r, err := newRunner(chosen, slack, files, func(name, verdict, text string) {
		fmt.Fprintf(out, "%-8s %s\n", verdict, name)
		if text != "" {
			fmt.Fprintf(out, "         %s\n", text)
		}
	})
	if err != nil {
		listener.Close()
		return err
	}
	defer r.rtc.Close()
	// Nobody else writes to out yet: no case is handed out before the listener is served.
	fmt.Fprintf(out, "%d cases wait on http://%v/ for a client; that page says how it takes them\n", len(chosen), listener.Addr())
	server := http.Server{Handler: r}
	defer server.Close()
	go server.Serve(listener)
	select {
	case <-r.over:
		time.Sleep(lingering)
	case <-ctx.Done():
	}
	failed, summary := r.end()
	fmt.Fprintln(out, summary)
	if failed > 0 {
		return ErrFailed
	}
	return ctx.Err()
}
