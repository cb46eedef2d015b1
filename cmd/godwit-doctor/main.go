// Godwit-doctor says why players cannot reach a godwit server. It makes the requests and sends the
// datagrams of a page, from where it runs, and prints a line for each check, with what to do next. With
// -server it looks at the machine of the server.
//
//	godwit-doctor https://game.example/godwit/
//	godwit-doctor -server -port 7777
//
// See godwit-doctor -help.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit/internal/doctor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	healthy, err := run(ctx, os.Args[1:], os.Stdout, shows(os.Stdout))
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "godwit-doctor:", err)
		os.Exit(2)
	case !healthy:
		os.Exit(1)
	}
}

// shows reports whether a file is a terminal, on which colors are welcome. https://no-color.org
func shows(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// options are the flags.
type options struct {
	doctor.Config
	server bool
	port   uint
	json   bool
}

// texts is a flag that may be given several times.
type texts []string

func (t *texts) String() string     { return strings.Join(*t, " ") }
func (t *texts) Set(s string) error { *t = append(*t, s); return nil }

// headers is a flag that may be given several times.
type headers http.Header

func (h *headers) String() string { return "" }

func (h *headers) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return errors.New(`a header is like "Name: value"`)
	}
	if *h == nil {
		*h = make(headers)
	}
	http.Header(*h).Add(name, strings.TrimSpace(value))
	return nil
}

// parse reads the flags.
func parse(args []string, out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("godwit-doctor", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed once, by main
	f.Usage = func() {}
	f.StringVar(&o.Origin, "origin", "", "`origin` of the game's page, such as https://game.example; empty: the host of the URL")
	f.Var((*texts)(&o.Tokens), "token", "`token` of a player; give two different ones if each is good once")
	f.Var((*headers)(&o.Header), "header", "`header` of every request, such as \"Authorization: Basic …\", for a gate before the server; may be given several times")
	f.StringVar(&o.App, "app", "", "`version` of the program that the page sends (the option app of connect)")
	f.StringVar(&o.Channels, "channels", "", "`hash` of the page's table of channels, 16 hexadecimal digits")
	f.StringVar(&o.STUN, "stun", "", "`address` of a STUN server, which says whether UDP leaves this network")
	f.DurationVar(&o.Wait, "wait", 2*time.Second, "longest `time` for an answer over UDP or a WebSocket")
	f.IntVar(&o.Checks, "checks", 40, "`number` of datagrams for the round trip and the loss, at most 1000")
	f.BoolVar(&o.server, "server", false, "look at this machine, which is that of the server (Linux)")
	f.UintVar(&o.port, "port", 0, "UDP `port` of the server, for -server")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	// Flags may follow the URL.
	var rest []string
	for err == nil && len(args) > 0 {
		if err = f.Parse(args); err == nil && f.NArg() > 0 {
			rest = append(rest, f.Arg(0))
			args = f.Args()[1:]
			continue
		}
		break
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(out)
		usage(f)
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w; see -help", err)
	case len(rest) > 1:
		return o, fmt.Errorf("%q is more than one URL; see -help", rest)
	case len(rest) == 0 && !o.server:
		return o, errors.New("give the URL to which pages send their offers, such as http://localhost:8080/godwit/; see -help")
	case o.port > 65535:
		return o, fmt.Errorf("-port is %d, but the largest port is 65535", o.port)
	case o.port != 0 && !o.server:
		return o, errors.New("-port is for -server: the address in the answer says which port players use")
	}
	if len(rest) == 1 {
		o.URL = withScheme(rest[0])
	}
	return o, nil
}

// withScheme adds the scheme to a URL without one: http for this machine and for IP addresses, otherwise
// https.
func withScheme(text string) string {
	if strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse("http://" + text)
	if err != nil {
		return text
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil || u.Hostname() == "localhost" {
		return "http://" + text
	}
	return "https://" + text
}

// A report is the output of -json.
type report struct {
	URL     string          `json:"url,omitempty"`
	Healthy bool            `json:"healthy"` // no result is a fail
	Faults  []doctor.Fault  `json:"faults"`  // of the results with warn and fail
	Results []doctor.Result `json:"results"`
}

// add adds a result.
func (r *report) add(one doctor.Result) {
	r.Results = append(r.Results, one)
	r.Healthy = r.Healthy && one.Status != doctor.Fail
	if one.Fault != "" && !slices.Contains(r.Faults, one.Fault) {
		r.Faults = append(r.Faults, one.Fault)
	}
}

// run makes the checks and prints them, each as soon as it is known. It reports whether players can
// connect.
func run(ctx context.Context, args []string, out io.Writer, color bool) (healthy bool, err error) {
	o, err := parse(args, out)
	if err != nil {
		return false, err
	}
	began := time.Now()
	all := report{URL: o.URL, Healthy: true, Faults: []doctor.Fault{}}
	note := func(r doctor.Result) {
		all.add(r)
		if !o.json {
			r.Print(out, color)
		}
	}
	if o.server {
		err = doctor.Machine(ctx, doctor.MachineConfig{Port: uint16(o.port), URL: o.URL, Token: first(o.Tokens)}, note)
	} else {
		err = doctor.Run(ctx, o.Config, note)
	}
	if err != nil {
		return false, err
	}
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return all.Healthy, e.Encode(all)
	}
	fmt.Fprintf(out, "\n%s, after %.1f s\n", all.verdict(o.server), time.Since(began).Seconds())
	return all.Healthy, nil
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// verdict sums up a report in one line.
func (r *report) verdict(server bool) string {
	names := make([]string, 0, len(r.Faults))
	for _, f := range r.Faults {
		names = append(names, string(f))
	}
	switch {
	case len(names) == 0 && server:
		return "nothing is wrong with this machine"
	case len(names) == 0:
		return "players connect from here"
	case r.Healthy:
		return "look at: " + strings.Join(names, ", ")
	}
	return "found: " + strings.Join(names, ", ")
}
