package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/godwit-rtc/godwit/internal/version"
)

// godwit is the module that games require.
const godwit = "github.com/godwit-rtc/godwit"

// tree has the directory common and a directory for each template. Each file has the suffix .tmpl, so that no Go file
// of them belongs to this module.
//
//go:embed all:templates
var tree embed.FS

const suffix = ".tmpl"

// templates returns the names of the templates.
func templates() []string { return []string{"boxes", "chat", "blank"} }

// A file is one of a game; its name has slashes.
type file struct {
	name, text string
}

// An origin is where a game gets godwit from.
type origin struct {
	version string
	sum     string // hash of the module, as in go.sum; empty with replace
	replace string // directory of a checkout, or ""
}

// findOrigin returns the checkout in replace if that is not empty, or the release of which this program is, or the
// checkout in which it was built.
func findOrigin(replace string, b *debug.BuildInfo) (origin, error) {
	if replace != "" {
		dir, err := filepath.Abs(replace)
		if err == nil && !isCheckout(dir) {
			err = fmt.Errorf("-replace: %s is no checkout of godwit: it has no go.mod of %s", dir, godwit)
		}
		return origin{version: version.Version, replace: dir}, err
	}
	if b != nil && b.Main.Path == godwit && b.Main.Sum != "" { // only a module that was downloaded has a sum
		return origin{version: b.Main.Version, sum: b.Main.Sum}, nil
	}
	_, source, _, _ := runtime.Caller(0)
	dir := filepath.Dir(filepath.Dir(filepath.Dir(source)))
	if !isCheckout(dir) {
		return origin{}, errors.New("this program is of no release, and its checkout is not found: name one with -replace")
	}
	return origin{version: version.Version, replace: dir}, nil
}

// isCheckout reports whether dir has a go.mod of godwit.
func isCheckout(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	line, _, _ := strings.Cut(string(text), "\n")
	return err == nil && filepath.IsAbs(dir) && strings.TrimSpace(line) == "module "+godwit
}

// game returns the files of a game.
func (o origin) game(template, module string) ([]file, error) {
	name := path.Base(module)
	fill := strings.NewReplacer("@NAME@", name, "@MODULE@", module, "@VERSION@", o.version, "@SUM@", o.sum)
	var files []file
	for _, dir := range []string{"templates/common", "templates/" + template} {
		err := fs.WalkDir(tree, dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := tree.ReadFile(p)
			if err != nil {
				return err
			}
			f := file{strings.TrimSuffix(strings.TrimPrefix(p, dir+"/"), suffix), string(text)}
			if o.replace != "" {
				f = o.local(f)
			}
			files = append(files, file{f.name, fill.Replace(f.text)})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// local returns a file of a game that gets godwit from a checkout: go.mod with a line replace, go.sum without the hashes
// of godwit.
func (o origin) local(f file) file {
	switch f.name {
	case "go.mod":
		f.text += "\nreplace " + godwit + " => " + quote(o.replace) + "\n"
	case "go.sum":
		var others strings.Builder
		for line := range strings.Lines(f.text) {
			if !strings.HasPrefix(line, godwit+" ") {
				others.WriteString(line)
			}
		}
		f.text = others.String()
	}
	return f
}

// quote returns a path as go.mod wants it.
func quote(dir string) string {
	if strings.ContainsAny(dir, " \t\"'`,()[]{}\\") || strings.Contains(dir, "//") {
		return strconv.Quote(dir)
	}
	return dir
}

// moduleName returns a module path for a game in a directory.
func moduleName(dir string) string {
	s := regexp.MustCompile(`[^a-z0-9._-]+`).ReplaceAllString(strings.ToLower(dir), "-")
	s = strings.Trim(s, "-._")
	if s == "" || isStandard(s) {
		return "game"
	}
	return s
}

// standard are the first parts of the paths of Go's own packages, and std and cmd, which stand for all of them and for its commands.
// A module with the path time could not be built: its imports of Go's package time would be ambiguous.
const standard = " archive bufio builtin bytes cmd cmp compress container context crypto database debug embed encoding errors expvar " +
	"flag fmt go hash html image index internal io iter log maps math mime net os path plugin reflect regexp runtime slices sort std " +
	"strconv strings structs sync syscall testing text time unicode unique unsafe vendor weak "

// isStandard reports whether the path of a module begins like those of Go's own packages.
func isStandard(module string) bool {
	first, _, _ := strings.Cut(module, "/")
	return strings.Contains(standard, " "+first+" ")
}

// checkModule returns an error if a module of Go cannot have the path, or if it is that of godwit or of Go's own packages.
func checkModule(module string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9_~][A-Za-z0-9._~-]*(/[A-Za-z0-9_~][A-Za-z0-9._~-]*)*$`).MatchString(module) || strings.Contains(module, "./") ||
		strings.HasSuffix(module, ".") || isStandard(module) || module == godwit {
		return fmt.Errorf("%q is not good as the path of a module: choose one with -module, such as example.com/game", module)
	}
	return nil
}
