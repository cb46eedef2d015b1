// Command law enforces the import law: what each package may import, as .golangci.yml says it for golangci-lint, with
// the same checker, depguard. Golangci-lint takes six minutes of a processor to build; law takes seconds. So ./test lint
// enforces the law on every machine.
//
//	(cd ci/law && go build -o ../../.cache/bin/law .) && .cache/bin/law ./...
//
// Law looks for .golangci.yml in the current directory and above it. The exit status is 3 if an import breaks the law.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/OpenPeeDeeP/depguard/v2"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/go/analysis/singlechecker"
)

func main() {
	settings, err := load()
	if err != nil {
		fmt.Fprintln(os.Stderr, "law:", err)
		os.Exit(1)
	}
	analyzer, err := depguard.NewAnalyzer(settings)
	if err != nil {
		fmt.Fprintln(os.Stderr, "law:", err)
		os.Exit(1)
	}
	singlechecker.Main(analyzer)
}

// config is the part of .golangci.yml that has the law.
type config struct {
	Linters struct {
		Settings struct {
			Depguard struct {
				Rules map[string]rule
			}
		}
	}
}

type rule struct {
	ListMode string `yaml:"list-mode"`
	Files    []string
	Allow    []string
	Deny     []struct{ Pkg, Desc string }
}

// load reads the law.
func load() (*depguard.LinterSettings, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, ".golangci.yml"))
		if err == nil {
			return parse(text, dir)
		}
		if parent := filepath.Dir(dir); parent != dir && errors.Is(err, os.ErrNotExist) {
			dir = parent
			continue
		}
		return nil, err
	}
}

// parse returns the rules of the text of .golangci.yml, which is in the directory.
func parse(text []byte, dir string) (*depguard.LinterSettings, error) {
	var c config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, err
	}
	if len(c.Linters.Settings.Depguard.Rules) == 0 {
		return nil, errors.New(".golangci.yml has no rules of depguard")
	}
	settings := make(depguard.LinterSettings)
	for name, r := range c.Linters.Settings.Depguard.Rules {
		list := &depguard.List{ListMode: r.ListMode, Allow: r.Allow}
		for _, file := range r.Files {
			list.Files = append(list.Files, strings.ReplaceAll(file, "${config-path}", filepath.ToSlash(dir)))
		}
		if len(r.Deny) > 0 {
			list.Deny = make(map[string]string, len(r.Deny))
		}
		for _, d := range r.Deny {
			list.Deny[d.Pkg] = d.Desc
		}
		settings[name] = list
	}
	return &settings, nil
}
