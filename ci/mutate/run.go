package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An outcome is the result of trying a mutant.
type outcome int

const (
	unreached outcome = iota // no test reaches it
	survived
	killed
)

// goPackage has the fields of go list's output that are used.
type goPackage struct {
	Dir, Name, ImportPath string
	GoFiles               []string
}

// A build is a copy of the module in which each mutant has a switch, its number.
type build struct {
	root, temp string
	module     string // directory of the module, in which the go tool runs
	sources    []*source
	mutants    []*mutant
	files      map[string]string // of the overlay
	overlay    string
}

// moduleOf returns the directory of the module to which the package in dir belongs: root, or below it.
func moduleOf(root, dir string) string {
	for ; dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err == nil {
			break
		}
	}
	return filepath.Join(root, dir)
}

func goList(module string, paths []string) ([]goPackage, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=Dir,Name,ImportPath,GoFiles"}, paths...)...)
	cmd.Dir, cmd.Stderr = module, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var list []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// newBuild instruments packages of one module, and switches off the mutants that do not compile.
func newBuild(root, temp string, dirs []string) (*build, error) {
	module := moduleOf(root, dirs[0])
	paths := slices.Clone(dirs)
	for i, d := range dirs {
		paths[i] = filepath.Join(root, d)
	}
	list, err := goList(module, paths)
	if err != nil {
		return nil, err
	}
	b := &build{root: root, temp: temp, module: module, files: map[string]string{}, overlay: filepath.Join(temp, "overlay.json")}
	next := 0
	for i, p := range list {
		rel, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return nil, err
		}
		first := next + 1
		sources, err := instrument(root, rel, p.GoFiles, &next)
		if err != nil {
			return nil, err
		}
		for _, s := range sources {
			b.sources = append(b.sources, s)
			b.mutants = append(b.mutants, s.mutants...)
			b.files[filepath.Join(p.Dir, s.name)] = filepath.Join(temp, fmt.Sprintf("%d_%s", i, s.name))
		}
		path := filepath.Join(temp, fmt.Sprintf("%d_helper.go", i))
		if err := os.WriteFile(path, fmt.Appendf(nil, helper, p.Name, next-first+2, first), 0o600); err != nil {
			return nil, err
		}
		b.files[filepath.Join(p.Dir, "mutated.go")] = path
	}
	count := map[string]int{}
	for _, m := range b.mutants {
		count[m.key()]++
		m.nth = count[m.key()]
	}
	for range 10 {
		if err := b.write(); err != nil {
			return nil, err
		}
		out, err := b.goTool("build", "-gcflags=-e", list)
		if err == nil {
			return b, nil
		}
		if !b.takeOut(out) {
			return nil, fmt.Errorf("%s", out)
		}
	}
	return nil, errors.New("it does not compile")
}

// write writes the overlay.
func (b *build) write() error {
	for _, s := range b.sources {
		if err := os.WriteFile(b.files[filepath.Join(b.root, s.pkg, s.name)], s.write(), 0o600); err != nil {
			return err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": b.files})
	if err != nil {
		return err
	}
	return os.WriteFile(b.overlay, text, 0o600)
}

func (b *build) goTool(verb, flags string, list []goPackage) (string, error) {
	args := []string{verb, flags, "-overlay", b.overlay, "-o", os.DevNull} // else a program is left in the module
	for _, p := range list {
		args = append(args, p.ImportPath)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = b.module
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var position = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):`)

// takeOut switches off the mutants on the lines for which the compiler reports errors.
func (b *build) takeOut(complaint string) (any bool) {
	for _, p := range position.FindAllStringSubmatch(complaint, -1) {
		line, _ := strconv.Atoi(p[2])
		for _, s := range b.sources {
			if path := filepath.Join(b.root, s.pkg, s.name); filepath.Join(b.module, p[1]) != path && p[1] != b.files[path] {
				continue
			}
			for _, m := range s.mutants {
				if m.line == line && !m.off {
					m.off, any = true, true
				}
			}
		}
	}
	return any
}

// A suite is the tests of one package, compiled once.
type suite struct {
	dir, program string
	took         map[string]time.Duration
	reaches      map[string][]int

	mu     sync.Mutex
	killed map[string]int // how many mutants each slow test has killed
}

// newSuite compiles the tests of a package, and finds out which mutants each reaches that matches a
// regexp.
func (b *build) newSuite(dir, match string, longest time.Duration, verbose bool) (*suite, error) {
	s := &suite{dir: filepath.Join(b.root, dir), program: filepath.Join(b.temp, strings.ReplaceAll(dir, "/", "_")+".test"),
		took: map[string]time.Duration{}, reaches: map[string][]int{}, killed: map[string]int{}}
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", b.overlay, "-o", s.program, s.dir)
	cmd.Dir = b.module
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", dir, err, out)
	}
	if _, err := os.Stat(s.program); errors.Is(err, os.ErrNotExist) {
		return s, nil // the package has no tests
	}
	list := exec.Command(s.program, "-test.list", cmp.Or(match, "."))
	list.Dir = s.dir
	out, err := list.Output()
	if err != nil {
		return nil, err
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if strings.HasPrefix(name, "Benchmark") {
			continue
		}
		hits := filepath.Join(b.temp, "hits")
		os.Remove(hits)
		s.run([]string{name}, 10*longest, "GODWIT_HITS="+hits)
		began := time.Now()
		if !s.run([]string{name}, 2*longest, "GODWIT_MUTANT=0") {
			if verbose {
				fmt.Printf("%s: %s does not count: it fails, or takes too long\n", dir, name)
			}
			continue
		}
		took := time.Since(began)
		if took > longest {
			if verbose {
				fmt.Printf("%s: %s does not count: it takes %v\n", dir, name, took.Round(time.Millisecond))
			}
			continue
		}
		s.took[name] = took
		text, _ := os.ReadFile(hits)
		for line := range strings.Lines(string(text)) {
			n, _ := strconv.Atoi(strings.TrimSpace(line))
			s.reaches[name] = append(s.reaches[name], n)
		}
	}
	return s, nil
}

// patience multiplies the time limits of tests.
var patience time.Duration = 1

// ending is done when the user or the system ends this program. Then tests that run are ended, and
// the report is about the changes that were tried.
var ending = context.Background()

// run runs tests, and reports whether they pass.
func (s *suite) run(tests []string, limit time.Duration, env string) bool {
	ctx, cancel := context.WithTimeout(ending, patience*limit)
	defer cancel()
	args := []string{"-c", `ulimit -v 8000000; exec "$0" "$@"`, s.program, "-test.run=^(" + strings.Join(tests, "|") + ")$", "-test.failfast", "-test.timeout=0"}
	cmd := exec.CommandContext(ctx, "sh", args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), env)
	group(cmd)
	defer killGroup(cmd)
	return cmd.Run() == nil
}

// quick is the longest time of a test that is run together with other quick tests.
const quick = 150 * time.Millisecond

// kill tries the tests that reach a mutant: the quick ones all at once, then each of the
// others, first those that have killed the most mutants. It stops before the test with which the sum of
// the times exceeds the budget; a budget of zero means no limit.
func (s *suite) kill(m *mutant, budget time.Duration) {
	var fast, slow []string
	var sum time.Duration
	for name, reached := range s.reaches {
		if !slices.Contains(reached, m.id) {
			continue
		}
		m.outcome = max(m.outcome, survived)
		if t := s.took[name]; t < quick {
			fast, sum = append(fast, name), sum+t
		} else {
			slow = append(slow, name)
		}
	}
	if len(fast) > 0 && s.kills(m, fast, sum) {
		return
	}
	s.mu.Lock()
	slices.SortFunc(slow, func(a, b string) int {
		return cmp.Or(s.killed[b]-s.killed[a], int(s.took[a]-s.took[b]))
	})
	s.mu.Unlock()
	for _, name := range slow {
		if sum += s.took[name]; budget > 0 && sum > budget {
			return
		}
		if s.kills(m, []string{name}, s.took[name]) {
			s.mu.Lock()
			s.killed[name]++
			s.mu.Unlock()
			return
		}
	}
}

// kills reports whether the tests notice a mutant; they normally take the given time.
func (s *suite) kills(m *mutant, tests []string, take time.Duration) bool {
	if s.run(tests, 3*time.Second+4*take, "GODWIT_MUTANT="+strconv.Itoa(m.id)) || ending.Err() != nil {
		return false
	}
	m.outcome = killed
	return true
}

// each calls f for all mutants, at most n calls at a time.
func each(list []*mutant, n int, f func(*mutant)) {
	var all sync.WaitGroup
	work := make(chan *mutant)
	for range n {
		all.Go(func() {
			for m := range work {
				if ending.Err() == nil {
					f(m)
					m.tried = ending.Err() == nil
				}
			}
		})
	}
	for _, m := range list {
		work <- m
	}
	close(work)
	all.Wait()
}
