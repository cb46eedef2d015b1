package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// rehearse serves the files of this checkout as if they were released: a directory is the module proxy. There it does what
// users will do, in a module cache of its own.
func rehearse() error {
	version, err := agree(".")
	if err != nil {
		return err
	}
	fmt.Println("version", version)
	dir, err := os.MkdirTemp("", "godwit-release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := tree()
	if err != nil {
		return err
	}
	proxy := filepath.Join(dir, "proxy")
	for _, m := range modules {
		if err := publish(proxy, m, version, files); err != nil {
			return fmt.Errorf("module %s: %w", m, err)
		}
	}
	u, err := newUser(dir, proxy)
	if err != nil {
		return err
	}
	if err := u.build(version); err != nil {
		return err
	}
	if err := u.install(version); err != nil {
		return err
	}
	if err := u.play(version); err != nil {
		return err
	}
	return packages(dir, version, files)
}

// tree returns the names of the files of the checkout, with slashes.
func tree() ([]string, error) {
	out, err := exec.Command("git", "ls-files", "-co", "--exclude-standard", "-z").Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	names := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	return slices.DeleteFunc(names, func(name string) bool {
		i, err := os.Lstat(name)
		return err != nil || !i.Mode().IsRegular() // a file that was removed, or a link
	}), nil
}

// publish writes the files of a module proxy for the module in dir. https://go.dev/ref/mod#goproxy-protocol
func publish(proxy, dir, version string, files []string) error {
	module := path.Join(root, dir)
	to := filepath.Join(proxy, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(to, 0o777); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	mod = replaceLine.ReplaceAll(mod, nil)
	info, err := json.Marshal(map[string]string{"Version": version})
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info, version + ".mod": mod} {
		if err := os.WriteFile(filepath.Join(to, name), text, 0o666); err != nil {
			return err
		}
	}
	out, err := os.Create(filepath.Join(to, version+".zip"))
	if err != nil {
		return err
	}
	defer out.Close()
	z := zip.NewWriter(out)
	n := 0
	for _, name := range moduleFiles(dir, files) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if name == "go.mod" {
			text = mod
		}
		w, err := z.Create(module + "@" + version + "/" + name)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		n++
	}
	if err := z.Close(); err != nil {
		return err
	}
	size, err := out.Seek(0, 2)
	fmt.Printf("module %s: %d files, %d bytes\n", module, n, size)
	return err
}

// moduleFiles returns the files that belong to the module in dir, without those of modules below it.
func moduleFiles(dir string, files []string) (in []string) {
	var below []string
	for _, name := range files {
		if path.Base(name) == "go.mod" && path.Dir(name) != dir {
			below = append(below, path.Dir(name)+"/")
		}
	}
	for _, name := range files {
		rest, ok := strings.CutPrefix(name, dir+"/")
		if dir == "." {
			rest, ok = name, true
		}
		other := slices.ContainsFunc(below, func(b string) bool { return strings.HasPrefix(name, b) && !strings.HasPrefix(dir+"/", b) })
		if ok && !other {
			in = append(in, rest)
		}
	}
	return in
}

// A user has an empty module cache, and a directory outside of the checkout.
type user struct {
	dir string
	env []string
}

// newUser returns a user whose module proxy is ours, then the modules that this machine has, then its own proxy.
func newUser(dir, proxy string) (*user, error) {
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	here := strings.Fields(string(out))
	if len(here) != 2 {
		return nil, fmt.Errorf("go env prints %q", out)
	}
	u := &user{dir: filepath.Join(dir, "user")}
	u.env = append(os.Environ(),
		"GOMODCACHE="+filepath.Join(dir, "modcache"),
		"GOPROXY=file://"+proxy+",file://"+here[0]+"/cache/download,"+here[1],
		"GONOSUMDB="+root, // the hashes of a release that does not exist are in no database
		"GOPRIVATE=", "GONOPROXY=", "GOWORK=off", "GOBIN="+filepath.Join(u.dir, "bin"),
		"GOFLAGS=-modcacherw -trimpath", // the results of the compiler are good again next time
	)
	return u, os.Mkdir(u.dir, 0o777)
}

// run runs a program in a directory of the user.
func (u *user) run(dir string, args ...string) (string, error) {
	return run(filepath.Join(u.dir, dir), u.env, args...)
}

// run runs a program in dir, with this program's environment if env is nil, and returns what it prints.
func run(dir string, env []string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// build makes a module that imports all of ours, where no replace line of ours is in force, and compiles every package of them.
func (u *user) build(version string) error {
	mod := "module consumer\n\ngo 1.26.0\n\nrequire (\n"
	program := "package main\n\nimport (\n"
	sums := make(map[string]bool)
	for _, m := range modules {
		mod += "\t" + path.Join(root, m) + " " + version + "\n"
		program += "\t_ \"" + path.Join(root, m) + "\"\n"
		text, err := os.ReadFile(filepath.Join(m, "go.sum"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			sums[line] = true
		}
	}
	dir := filepath.Join(u.dir, "consumer")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"go.mod": mod + ")\n", "main.go": program + ")\n\nfunc main() {}\n",
		"go.sum": strings.Join(slices.Sorted(maps.Keys(sums)), ""),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	// With -export the go command compiles what it lists, and links nothing.
	out, err := u.run("consumer", "go", "list", "-mod=mod", "-export", ".", root+"/...")
	if err != nil {
		return err
	}
	fmt.Printf("%d packages compile without replace, outside of the checkout\n", strings.Count(out, root))
	return nil
}

// install installs a program of each module that has programs, as the README says.
func (u *user) install(version string) error {
	for _, program := range []string{"cmd/godwit-bench", "fleet/cmd/godwit-fleet-relay"} {
		if _, err := u.run(".", "go", "install", root+"/"+program+"@"+version); err != nil {
			return err
		}
	}
	out, err := u.run(".", filepath.Join(u.dir, "bin", "godwit-bench"), "-version")
	if err != nil {
		return err
	}
	if want := "godwit-bench " + version + "\n"; out != want {
		return fmt.Errorf("godwit-bench -version prints %q, want %q", out, want)
	}
	fmt.Println("programs of the release are installed with go install")
	return nil
}

// play writes a game with the released godwit-new, and builds it and its tests, which the tests of cmd/godwit-new run. The go
// command compares the hashes that godwit-new has written with those of the modules.
func (u *user) play(version string) error {
	if _, err := u.run(".", "go", "run", root+"/cmd/godwit-new@"+version, "mygame"); err != nil {
		return err
	}
	for _, line := range []string{"go build -o game .", "go vet ./...", "go mod tidy -diff"} {
		if _, err := u.run("mygame", strings.Fields(line)...); err != nil {
			return fmt.Errorf("in a new game: %w", err)
		}
	}
	text, err := os.ReadFile(filepath.Join(u.dir, "mygame", "go.mod"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), root+" "+version+"\n") || strings.Contains(string(text), "replace") {
		return fmt.Errorf("the go.mod of a new game does not require %s alone:\n%s", version, text)
	}
	fmt.Println("godwit-new writes a game that requires the release, with its hashes")
	return nil
}

// A packed is what npm pack prints about a package.
type packed struct {
	Name, Version string
	Size          int
	Files         []struct{ Path string }
}

// packages compares the packages for npm with what they should have. The script of @godwit/react is not in the repository:
// it is built in a copy below dir.
func packages(dir, version string, files []string) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return nil // ./test says so
	}
	if err := pack("web", version); err != nil {
		return err
	}
	for _, name := range files {
		if !strings.HasPrefix(name, "web/react/") && name != "web/tsconfig.json" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o666); err != nil {
			return err
		}
	}
	react := filepath.Join(dir, "web", "react")
	for _, line := range []string{"npm ci --no-audit --no-fund", "npm run build"} {
		if _, err := run(react, nil, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return pack(react, version)
}

// pack compares the package in dir with what it should have: what is in dist, and three files.
func pack(dir, version string) error {
	cmd := exec.Command("npm", "pack", "--dry-run", "--json", "--ignore-scripts")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("npm pack: %w", err)
	}
	var list []packed
	if err := json.Unmarshal(out, &list); err != nil || len(list) != 1 {
		return fmt.Errorf("npm pack prints %q: %w", out, err)
	}
	p := list[0]
	want := map[string]bool{"package.json": true, "README.md": true, "LICENSE": true}
	err = fs.WalkDir(os.DirFS(dir), "dist", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			want[name] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, f := range p.Files {
		if !want[f.Path] {
			err = errors.Join(err, fmt.Errorf("%s has %s, which should not be in it", p.Name, f.Path))
		}
		delete(want, f.Path)
	}
	for name := range want {
		err = errors.Join(err, fmt.Errorf("%s lacks %s", p.Name, name))
	}
	if "v"+p.Version != version {
		err = errors.Join(err, fmt.Errorf("%s has the version %s", p.Name, p.Version))
	}
	if err == nil {
		err = exports(dir, p)
	}
	if err == nil {
		fmt.Printf("npm package %s@%s: %d files, %d bytes\n", p.Name, p.Version, len(p.Files), p.Size)
	}
	return err
}

// exports checks that the package has each file that its package.json exports.
func exports(dir string, p packed) (err error) {
	text, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return err
	}
	var manifest struct{ Exports map[string]map[string]string }
	if err := json.Unmarshal(text, &manifest); err != nil {
		return err
	}
	in := make(map[string]bool)
	for _, f := range p.Files {
		in["./"+f.Path] = true
	}
	for entry, targets := range manifest.Exports {
		for kind, file := range targets {
			if !in[file] {
				err = errors.Join(err, fmt.Errorf("%s exports %s of %s as %s, which is not in it", p.Name, kind, entry, file))
			}
		}
	}
	return err
}
