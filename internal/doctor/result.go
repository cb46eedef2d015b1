package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Status is the outcome of a check.
type Status uint8

const (
	OK   Status = iota // nothing is wrong
	Warn               // players connect, but something may surprise them
	Fail               // players, or some of them, do not connect
	Skip               // the check did not run, or says nothing here
)

var statusNames = [...]string{"ok", "warn", "fail", "skip"}

// String returns the status in one word.
func (s Status) String() string { return statusNames[s] }

// MarshalText returns the status in one word.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word of MarshalText.
func (s *Status) UnmarshalText(b []byte) error {
	i := slices.Index(statusNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("doctor: %q is no status", b)
	}
	*s = Status(i)
	return nil
}

// A Fault is the name of what is wrong, the same in each version of the program.
type Fault string

// The faults of the player's side.
const (
	FaultName        Fault = "name"                // DNS does not know the host
	FaultConnection  Fault = "no-connection"       // nothing answers over TCP
	FaultAddresses   Fault = "dead-address"        // DNS has an address where nothing answers
	FaultExpired     Fault = "certificate-expired" // of HTTPS
	FaultCertificate Fault = "certificate"         // another problem of the certificate
	FaultSoon        Fault = "certificate-ends-soon"
	FaultSilent      Fault = "no-response"      // a connection opens, but no response comes
	FaultServer      Fault = "no-server"        // the URL is not that of a godwit server
	FaultSlow        Fault = "slow-http"        // requests take much longer than a round trip
	FaultRedirect    Fault = "redirect"         // pages that post to the URL are sent elsewhere
	FaultOrigin      Fault = "origin"           // pages of the origin are refused
	FaultCORS        Fault = "cors"             // something in front of the server answers for it
	FaultMixed       Fault = "mixed-content"    // a page of HTTPS cannot use HTTP
	FaultClock       Fault = "clock"            // the clocks differ
	FaultVersion     Fault = "version"          // of the protocol or the program
	FaultTable       Fault = "table"            // of channels
	FaultToken       Fault = "token"            // the server wants other credentials
	FaultRefused     Fault = "refused"          // for another reason
	FaultNoAddress   Fault = "no-address"       // the answer has no address to send to
	FaultAddress     Fault = "bad-address"      // an address of the answer is of no use to the player
	FaultUDP         Fault = "udp-dropped"      // nothing comes back over UDP
	FaultHairpin     Fault = "no-hairpin"       // a router does not lead back into its own network
	FaultPublic      Fault = "wrong-public"     // the server tells an address that is not its own
	FaultPort        Fault = "wrong-port"       // the server tells a port that is not its own
	FaultRoute       Fault = "no-route"         // this machine has no way to the address
	FaultSTUN        Fault = "no-stun"          // the STUN server does not answer
	FaultLoss        Fault = "loss"             // many datagrams are lost
	FaultNAT         Fault = "unstable-nat"     // the address of this machine changes
	FaultHidden      Fault = "hidden-players"   // the server sees the address of something else over UDP
	FaultMTU         Fault = "narrow-path"      // large datagrams do not arrive
	FaultChannel     Fault = "no-channel"       // UDP arrives, but no data channel opens
	FaultWebSocket   Fault = "no-websocket"     // the way for players without UDP
	FaultBuffers     Fault = "proxy-buffers"    // a proxy holds messages back
	FaultForwarded   Fault = "no-forwarded-for" // a proxy does not name its clients
	FaultProxy       Fault = "untrusted-proxy"  // the server does not use what the proxy says
)

// The faults of the server's machine.
const (
	FaultBuffer    Fault = "small-buffers"
	FaultDrops     Fault = "kernel-drops"
	FaultSocket    Fault = "no-socket"
	FaultConntrack Fault = "conntrack"
	FaultFiles     Fault = "few-files"
	FaultOwner     Fault = "stale-address"
)

// A Result is one line of the report.
type Result struct {
	Check  string         `json:"check"`           // the name of the check, in one word
	Status Status         `json:"status"`          // ok, warn, fail or skip
	Fault  Fault          `json:"fault,omitempty"` // what is wrong, in one word, with warn and fail
	Text   string         `json:"text"`            // what the check has found
	Next   string         `json:"next,omitempty"`  // what to do next, with warn and fail
	Data   map[string]any `json:"data,omitempty"`  // the figures; times are in milliseconds
}

// A reporter gives results to the caller.
type reporter struct {
	report func(Result)
}

func (r *reporter) ok(check, format string, args ...any) {
	r.report(Result{Check: check, Status: OK, Text: fmt.Sprintf(format, args...)})
}

func (r *reporter) skip(check, format string, args ...any) {
	r.report(Result{Check: check, Status: Skip, Text: fmt.Sprintf(format, args...)})
}

func (r *reporter) warn(check string, f Fault, next, format string, args ...any) {
	r.report(Result{Check: check, Status: Warn, Fault: f, Next: next, Text: fmt.Sprintf(format, args...)})
}

func (r *reporter) fail(check string, f Fault, next, format string, args ...any) {
	r.report(Result{Check: check, Status: Fail, Fault: f, Next: next, Text: fmt.Sprintf(format, args...)})
}

// Layout of a line of Print.
const (
	statusWidth = 6
	checkWidth  = 13
	lineWidth   = 100
)

var colors = [...]string{OK: "\x1b[32m", Warn: "\x1b[33m", Fail: "\x1b[1;31m", Skip: "\x1b[90m"}

// Print writes a result for people: a line, and below it what to do next. color says that out is a
// terminal that shows colors.
func (r Result) Print(out io.Writer, color bool) {
	status := r.Status.String()
	if r.Status == Fail {
		status = "FAIL"
	}
	on, off := "", ""
	if color {
		on, off = colors[r.Status], "\x1b[0m"
	}
	text := r.Text
	if r.Fault != "" {
		text += " [" + string(r.Fault) + "]"
	}
	fmt.Fprintf(out, "%s%-*s%s%-*s", on, statusWidth, status, off, checkWidth, r.Check)
	indent := strings.Repeat(" ", statusWidth+checkWidth)
	io.WriteString(out, fold(text, indent, lineWidth)+"\n")
	if r.Next != "" {
		io.WriteString(out, indent+"> "+fold(r.Next, indent+"  ", lineWidth)+"\n")
	}
}

// fold breaks a text that begins behind indent into lines of at most width characters, if its words
// allow it.
func fold(text, indent string, width int) string {
	var b strings.Builder
	at := len(indent)
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i > 0 && at+1+n > width:
			b.WriteString("\n" + indent)
			at = len(indent)
		case i > 0:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
