package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// helpers are packages whose tests are run, too, after a package's own tests.
var helpers = map[string][]string{
	".":                    {"client", "metrics", "dashboard"},
	"auth":                 {".", "client"},
	"channel":              {"internal/sessioncore"},
	"dtls":                 {"rtcserver"},
	"icelite":              {"internal/peer", "rtcserver"},
	"internal/deflate":     {"channel", "."},
	"internal/doctor":      {"cmd/godwit-doctor"},
	"internal/gen":         {"cmd/godwit-gen"},
	"internal/handling":    {"rtcserver", ".", "client"},
	"internal/load":        {"cmd/godwit-bench"},
	"internal/loop":        {"rtcserver", ".", "client"},
	"internal/peer":        {"rtcserver", "client"},
	"internal/relaycmd":    {"cmd/godwit-relay"},
	"internal/rowtag":      {"typed", "internal/gen"},
	"internal/sessioncore": {".", "client"},
	"internal/websock":     {"client", "."},
	"pack":                 {"internal/gen/sample", "internal/gen/game"},
	"rtcserver":            {"client"},
	"sctp":                 {"internal/peer", "rtcserver"},
	"session":              {"internal/sessioncore", ".", "client"},
}

// equivalents are the changes that make no difference: a line with a mutant's key, then
// lines that are indented, with the reason.
//
//go:embed equivalent.txt
var equivalents string

func main() {
	var (
		parallel = flag.Int("j", 2, "how many changes are tried at a time")
		longest  = flag.Duration("longest", 3*time.Second, "a test that takes longer does not count")
		budget   = flag.Duration("budget", 0, "tests of at most this long in sum are run for a change; 0 means all that reach it")
		only     = flag.String("only", "", "try only the changes whose line in the report matches this `regexp`")
		again    = flag.String("again", "", "try only the changes in this `file`, a report of before")
		since    = flag.String("since", "", "try only functions whose code is not that of this `commit`")
		limits   = flag.Int("patience", 1, "multiply the time limits of tests by this: for a machine that has other work")
		run      = flag.String("run", "", "run only the tests whose name matches this `regexp`: quick, but what survives may be noticed by others")
		verbose  = flag.Bool("v", false, "print every change and what came of it")
	)
	flag.Parse()
	patience = time.Duration(max(1, *limits))
	o := options{*parallel, *longest, *budget, *only, *again, *since, *verbose, *run, nil}
	var stop context.CancelFunc
	ending, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type options struct {
	parallel    int
	longest     time.Duration
	budget      time.Duration
	only, again string
	since       string
	verbose     bool
	tests       string

	wanted func(*mutant) bool
}

// choose sets wanted according to the flags.
func (o *options) choose() error {
	pattern, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	var report string
	if o.again != "" {
		b, err := os.ReadFile(o.again)
		if err != nil {
			return err
		}
		report = string(b)
	}
	o.wanted = func(m *mutant) bool {
		_, name, _ := strings.Cut(m.String(), ": ") // without the line number, which may have changed
		return pattern.MatchString(m.String()) && (o.again == "" || strings.Contains(report, ": "+name))
	}
	return nil
}

func (o *options) run(dirs []string) error {
	if len(dirs) == 0 {
		dirs = []string{"auth", "icelite", "sctp", "dtls", "channel", "session", "internal/sessioncore", "rtcserver", ".", "webtransport"}
	}
	if err := o.choose(); err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	open := 0
	for _, dir := range dirs {
		if ending.Err() != nil {
			return errors.New("ended early")
		}
		n, err := o.try(root, filepath.Clean(dir))
		if err != nil {
			return err
		}
		open += n
	}
	if open > 0 {
		return fmt.Errorf("%d changes survive", open)
	}
	return nil
}

// try prints the report of one package and returns the number of changes that survive.
func (o *options) try(root, dir string) (int, error) {
	temp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(temp)
	b, err := newBuild(root, temp, []string{dir})
	if err != nil {
		return 0, err
	}
	known := map[string]bool{}
	for line := range strings.Lines(equivalents) {
		if strings.HasPrefix(line, dir+": ") {
			known[strings.TrimSpace(line)] = true
		}
	}
	var changed map[string]bool
	if o.since != "" {
		if changed, err = changedSince(root, dir, o.since); err != nil {
			return 0, err
		}
	}
	var list []*mutant
	same := 0
	for _, m := range b.mutants {
		switch {
		case known[m.key()]:
			delete(known, m.key())
			same++
		case !m.off && o.wanted(m) && (o.since == "" || changed[m.fn]):
			list = append(list, m)
		}
	}
	for _, tests := range append([]string{dir}, helpers[dir]...) {
		left := slices.DeleteFunc(slices.Clone(list), func(m *mutant) bool { return m.outcome == killed })
		if len(left) == 0 || ending.Err() != nil {
			break
		}
		s, err := b.newSuite(tests, o.tests, o.longest, o.verbose)
		if err != nil {
			return 0, err
		}
		each(left, o.parallel, func(m *mutant) { s.kill(m, o.budget) })
	}
	if ending.Err() != nil {
		all := len(list)
		list = slices.DeleteFunc(list, func(m *mutant) bool { return !m.tried })
		fmt.Printf("%s: ended early, %d of %d changes were tried\n", dir, len(list), all)
	}
	var count [3]int
	for _, m := range list {
		count[m.outcome]++
		if o.verbose || m.outcome != killed {
			fmt.Printf("%v%s\n", m, []string{" [no test reaches it]", "", " [killed]"}[m.outcome])
		}
	}
	for key := range known {
		fmt.Printf("equivalent.txt: there is no %s\n", key)
	}
	tried := max(1, len(list))
	fmt.Printf("%-20s %5.1f %%  %d changes, %d killed, %d survive, %d not reached, %d equivalent\n", dir,
		100*float64(count[killed])/float64(tried), len(list), count[killed], count[survived], count[unreached], same)
	return count[survived] + count[unreached] + len(known), nil
}
