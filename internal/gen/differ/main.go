// Differ compares the code that godwit-gen writes in Go and in TypeScript: random types, random values
// of them, and bytes with random changes. Each value must have the same bytes in both, each list of
// bytes the same value or the same cause of refusal, and each value that was read the same bytes again.
//
//	go run ./internal/gen/differ                 20,000 cases, as ./test web does
//	go run ./internal/gen/differ -cases 10000000 -types 400
//
// It needs Node, and esbuild in web/node_modules.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/internal/gen"
)

func main() {
	cases := flag.Int("cases", 20_000, "how many cases")
	packages := flag.Int("packages", 1, "how many packages with random types")
	types := flag.Int("types", 20, "how many messages each package has")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "what chooses the types and values")
	keep := flag.Bool("keep", false, "keep the generated code")
	flag.Parse()
	fmt.Printf("seed %d\n", *seed)
	start := time.Now()
	for i := range *packages {
		n := *cases*(i+1) / *packages - *cases*i / *packages
		if err := differ(*seed+uint64(i), *types, n, *keep); err != nil {
			fmt.Fprintf(os.Stderr, "differ: -seed %d -types %d: %v\n", *seed+uint64(i), *types, err)
			os.Exit(1)
		}
	}
	fmt.Printf("%d cases without a difference, of %d messages in %d packages, in %v\n",
		*cases, *packages**types, *packages, time.Since(start).Round(time.Second))
}

// differ compares cases of one package with random types.
func differ(seed uint64, types, cases int, keep bool) error {
	root, err := output("", "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	// The package is inside the module, so that it may import what is internal. Wildcards ignore it.
	base := filepath.Join(root, ".cache", "differ")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(base, "p")
	if err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(dir)
	}
	source := randomSource(rand.New(rand.NewPCG(seed, 0)), types)
	if err := os.WriteFile(filepath.Join(dir, "types.go"), []byte(source), 0o644); err != nil {
		return err
	}
	p, err := gen.Load(dir, "", "godwit_gen.go")
	if err != nil {
		return err
	}
	code, err := p.Go()
	if err != nil {
		return err
	}
	var codecs, named []string
	for _, s := range p.Messages() {
		codecs = append(codecs, fmt.Sprintf("{ write: write%s, read: read%[1]s }", s.Name))
	}
	for _, s := range p.Structs {
		named = append(named, fmt.Sprintf("%q: reflect.TypeFor[%[1]s](),\n", s.GoName()))
	}
	module := p.Script(false, "").Code + "\nexport default [" + strings.Join(codecs, ", ") + "];\n"
	for name, text := range map[string]string{
		"godwit_gen.go": string(code),
		"game.mjs":      module,
		"main.go":       fmt.Sprintf(program, strings.Join(named, "")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	peer := filepath.Join(dir, "peer.mjs")
	web := filepath.Join(root, "web")
	if _, err := output(web, filepath.Join(web, "node_modules", ".bin", "esbuild"), "test/messagepeer.ts",
		"--bundle", "--platform=node", "--format=esm", "--outfile="+peer, "--log-level=warning"); err != nil {
		return err
	}
	if _, err := output(dir, "go", "build", "-o", "main", "."); err != nil {
		return err
	}
	out, err := output(dir, "./main", fmt.Sprint(seed), fmt.Sprint(cases), peer, filepath.Join(dir, "game.mjs"))
	fmt.Println(out)
	return err
}

// output runs a command and returns what it writes.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return strings.TrimSpace(string(out)), fmt.Errorf("%s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

const program = `package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"

	"github.com/godwit-rtc/godwit/internal/gen"
	"github.com/godwit-rtc/godwit/internal/gen/drive"
)

func main() {
	seed, _ := strconv.ParseUint(os.Args[1], 10, 64)
	cases, _ := strconv.Atoi(os.Args[2])
	p, err := gen.Load(".", "", "godwit_gen.go")
	if err == nil {
		cases, err = drive.Run(drive.Config{Messages: p.Messages(), Types: map[string]reflect.Type{
			%s}, Script: os.Args[3], Module: os.Args[4], Seed: seed, Cases: cases})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(cases, "cases")
}
`
