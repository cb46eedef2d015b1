package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// root is the module that the others require.
const root = "github.com/godwit-rtc/godwit"

// modules are the Go modules that are released, by their directories. The tag of a module is that of the root with
// the directory before it: fleet/v0.1.0. https://go.dev/ref/mod#vcs-version
var modules = []string{".", "fleet", "webtransport"}

// A place is a text of a file that has the version, as the group of a pattern: with the v in Go, without it in npm.
type place struct {
	file string
	text *regexp.Regexp
	npm  bool
}

// places has internal/version first, which the others must equal.
var places = []place{
	{file: "internal/version/version.go", text: regexp.MustCompile(`const Version = "(v[^"]+)"`)},
	{file: "web/package.json", text: regexp.MustCompile(`^{\n  "name": "@godwit/client",\n  "version": "([^"]+)"`), npm: true},
	{file: "web/package-lock.json", text: regexp.MustCompile(`^{\n  "name": "@godwit/client",\n  "version": "([^"]+)"`), npm: true},
	{file: "web/package-lock.json", text: regexp.MustCompile(`"": {\n      "name": "@godwit/client",\n      "version": "([^"]+)"`), npm: true},
	{file: "web/react/package.json", text: regexp.MustCompile(`^{\n  "name": "@godwit/react",\n  "version": "([^"]+)"`), npm: true},
	{file: "web/react/package-lock.json", text: regexp.MustCompile(`^{\n  "name": "@godwit/react",\n  "version": "([^"]+)"`), npm: true},
	{file: "web/react/package-lock.json", text: regexp.MustCompile(`"": {\n      "name": "@godwit/react",\n      "version": "([^"]+)"`), npm: true},
	{file: "fleet/go.mod", text: regexp.MustCompile(`\t` + root + ` (v\S+)\n`)},
	{file: "webtransport/go.mod", text: regexp.MustCompile(`\t` + root + ` (v\S+)\n`)},
	{file: "interop/go.mod", text: regexp.MustCompile(`\t` + root + ` (v\S+)\n`)},
	{file: "interop/go.mod", text: regexp.MustCompile(`\t` + root + `/webtransport (v\S+)\n`)},
}

// read returns the version in a place below dir, with its v.
func (p place) read(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, p.file))
	if err != nil {
		return "", err
	}
	m := p.text.FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%s has no version where %v finds it", p.file, p.text)
	}
	if p.npm {
		return "v" + string(m[1]), nil
	}
	return string(m[1]), nil
}

// write sets the version in a place below dir.
func (p place) write(dir, version string) error {
	name := filepath.Join(dir, p.file)
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	m := p.text.FindSubmatchIndex(text)
	if m == nil {
		return fmt.Errorf("%s has no version where %v finds it", p.file, p.text)
	}
	if p.npm {
		version = version[1:]
	}
	return os.WriteFile(name, append(append(text[:m[2]:m[2]], version...), text[m[3]:]...), 0o644)
}

// agree returns the version of all places below dir, or an error that names a place with another one.
func agree(dir string) (string, error) {
	var version string
	for i, p := range places {
		v, err := p.read(dir)
		if err != nil {
			return "", err
		}
		if i == 0 {
			version = v
		}
		if v != version {
			return "", fmt.Errorf("%s has the version %s, but %s has %s: go run ./ci/release -set VERSION", p.file, v, places[0].file, version)
		}
	}
	return version, nil
}

// replaceLine is the line of a go.mod by which a module uses the checkout.
var replaceLine = regexp.MustCompile(`(?m)^replace ` + root + `(/\S+)? => \.\./\S*\n\n?`)

// unreplace removes that line from the modules below dir that are released. go install refuses a program of a module that
// has it.
func unreplace(dir string) error {
	for _, m := range modules[1:] {
		name := filepath.Join(dir, m, "go.mod")
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, replaceLine.ReplaceAll(text, nil), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// semver is a version of a release, or of a release candidate, as Go and npm write it. Another major version than 0 and 1
// needs other module paths.
var semver = regexp.MustCompile(`^v[01]\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-rc\.\d+)?$`)

// set writes a version into all places below dir.
func set(dir, version string) error {
	if !semver.MatchString(version) {
		return fmt.Errorf("%q is no version such as v0.2.0 or v0.2.0-rc.1", version)
	}
	for _, p := range places {
		if err := p.write(dir, version); err != nil {
			return err
		}
	}
	return nil
}
