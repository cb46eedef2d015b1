package samples

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// names returns the files that may have samples.
func names(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"README.md", "docs/*.md", "docs/*/*.md", "web/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			short, _ := filepath.Rel(root, name)
			all = append(all, filepath.ToSlash(short))
		}
	}
	return all
}

// documents returns the pages that may have samples.
func documents(t *testing.T) map[string]*Page {
	t.Helper()
	pages := make(map[string]*Page)
	for _, name := range names(t) {
		p, err := Read(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Fragments)+len(p.Programs) > 0 {
			pages[name] = p
		}
	}
	if len(pages) == 0 {
		t.Fatal("no page has a sample")
	}
	return pages
}

// elsewhere are the fences of code that are no samples, by their page, and what checks them.
var elsewhere = map[string]struct {
	fences int
	by     string
}{
	"README.md":        {1, "interop: TestReadme"},
	"docs/codecs.md":   {6, "interop/messages: TestPageOfCodecs"},
	"docs/fleet.md":    {1, "nothing: the samples have no module fleet"},
	"docs/game.md":     {1, "interop/messages: TestProgramOfAGame"},
	"docs/invites.md":  {1, "auth: TestInvitesOfOtherLanguages"},
	"docs/messages.md": {1, "nothing: a comment"},
	"docs/snap.md":     {1, "nothing: three lines in a list"},
	"docs/typed.md":    {1, "interop/messages: TestProgramOfTypedMessages"},
	"docs/wire.md":     {1, "godwit: TestWireClient"},
	"web/README.md":    {1, "nothing: it imports the table of a game"},
}

// A fence of Go, JavaScript or TypeScript in the documents is a sample, or elsewhere says what checks it.
func TestFencesAreSamples(t *testing.T) {
	plain := regexp.MustCompile("(?m)^ *```(go|js|ts)$")
	for _, name := range names(t) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if n, want := len(plain.FindAll(text, -1)), elsewhere[name]; n != want.fences {
			t.Errorf("%s has %d fences of code that are no samples, want %d (%s): write \"```go sample\", or change elsewhere in this test", name, n, want.fences, want.by)
		}
	}
}

// sortedPages yields the names of pages in order.
func sortedPages(pages map[string]*Page) []string { return slices.Sorted(maps.Keys(pages)) }

// The samples in the documents build: go vet finds nothing in those of Go, and those of pages have no error of types
// beside the types of the browser client.
func TestSamples(t *testing.T) {
	pages := documents(t)
	dir := Module(t, root)
	for _, page := range sortedPages(pages) {
		for name, files := range pages[page].Programs {
			files.Write(t, filepath.Join(dir, slug(page), name))
		}
		for _, f := range pages[page].Fragments {
			writeFragment(t, filepath.Join(dir, fmt.Sprintf("%s_%d", slug(page), f.Line)), page, f)
		}
	}
	t.Run("go", func(t *testing.T) { Run(t, dir, "go", "vet", "./...") })
	t.Run("pages", func(t *testing.T) { checkTypes(t, dir) })
}

func slug(page string) string {
	return strings.ToLower(strings.NewReplacer("/", "_", ".md", "").Replace(page))
}

func writeFragment(t *testing.T, dir, page string, f Fragment) {
	t.Helper()
	switch f.Language {
	case "js", "ts":
		Program{"fragment.mts": f.Before + f.Text + "\nexport {};\n"}.Write(t, dir)
	case "go":
		text, err := complete(f.Before, f.Text)
		if err != nil {
			t.Errorf("%s:%d: %v", page, f.Line, err)
		}
		Program{"fragment.go": text}.Write(t, dir)
	default:
		t.Errorf("%s:%d: a sample of %s has no test", page, f.Line, f.Language)
	}
}

// imports are the packages that a fragment has, by their names in the code.
var imports = map[string]string{
	"context": "context", "log": "log", "http": "net/http", "netip": "net/netip", "os": "os", "signal": "os/signal",
	"syscall": "syscall", "time": "time", "fmt": "fmt",
	"godwit": "", "auth": "auth", "channel": "channel", "client": "client", "game": "game", "rtcserver": "rtcserver",
	"session": "session", "typed": "typed",
}

// complete returns a file with a fragment, in a func unless it has declarations. The fragment may use the parameters of the func,
// or declare others of these names, and what before declares.
func complete(before, text string) (string, error) {
	const head = "package fragment\n\n"
	body := text
	if _, err := parser.ParseFile(token.NewFileSet(), "", head+text, 0); err != nil {
		body = "func _(srv *godwit.Server, c *godwit.Conn, ch godwit.ChannelID, b []byte) error {\n{\n" + text + used(text) + "\n}\nreturn nil\n}\n"
	}
	body = before + "\n" + body
	f, err := parser.ParseFile(token.NewFileSet(), "", head+body, 0)
	if err != nil {
		return "", err
	}
	names := make(map[string]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok {
				names[id.Name] = true
			}
		}
		if s, ok := n.(*ast.StarExpr); ok {
			if s, ok := s.X.(*ast.SelectorExpr); ok {
				names[fmt.Sprint(s.X)] = true
			}
		}
		return true
	})
	var b strings.Builder
	b.WriteString(head)
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if !names[name] {
			continue
		}
		path := imports[name]
		if _, err := os.Stat(filepath.Join(root, name)); err == nil || name == "godwit" {
			path = strings.TrimSuffix("github.com/godwit-rtc/godwit/"+path, "/")
		}
		fmt.Fprintf(&b, "import %q\n", path)
	}
	b.WriteString("\n" + body)
	return b.String(), nil
}

// used returns statements that use the variables that a fragment declares at its top level.
func used(text string) string {
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+text+"\n}", 0)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, s := range f.Decls[0].(*ast.FuncDecl).Body.List {
		if a, ok := s.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
			for _, left := range a.Lhs {
				if id := left.(*ast.Ident); id.Name != "_" {
					fmt.Fprintf(&b, "\n_ = %s", id.Name)
				}
			}
		}
	}
	return b.String()
}

// checkTypes checks the code of pages in a directory.
func checkTypes(t *testing.T, dir string) {
	tsc, err := filepath.Abs(filepath.Join(root, "site/node_modules/.bin/tsc"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tsc); err != nil {
		t.Skip("site/node_modules has no TypeScript: ./test site installs it and runs this test")
	}
	dist, err := filepath.Abs(filepath.Join(root, "web/dist"))
	if err != nil {
		t.Fatal(err)
	}
	Program{"tsconfig.json": fmt.Sprintf(`{
		"compilerOptions": {
			"target": "es2022", "module": "esnext", "moduleResolution": "bundler", "lib": ["es2023", "dom", "dom.iterable"],
			"types": [], "strict": true, "strictNullChecks": false, "noImplicitAny": false, "noEmit": true, "allowJs": true, "checkJs": true, "skipLibCheck": true,
			"paths": {
				"@godwit/client": ["%[1]s/godwit.d.ts"], "@godwit/client/types": ["%[1]s/godwit.types.d.ts"], "@godwit/client/game": ["%[1]s/godwit.game.d.ts"],
				"@godwit/client/worker": ["%[1]s/godwit.worker.min.d.ts"],
				"/godwit/godwit.js": ["%[1]s/godwit.d.ts"], "/godwit/godwit.types.js": ["%[1]s/godwit.types.d.ts"], "/godwit/godwit.game.js": ["%[1]s/godwit.game.d.ts"]
			}
		},
		"include": ["**/*.mts", "**/*.js"]
	}`, filepath.ToSlash(dist))}.Write(t, dir)
	Run(t, dir, tsc, "-p", dir)
}

func TestMerge(t *testing.T) {
	text := "# A\n\n```go sample=a/main.go\npackage main\n\n// one is one.\nfunc one() int { return 1 }\n\ntype T struct{}\n```\n\n" +
		"```go sample=b/main.go from=a\n// one is two.\nfunc one() int { return 2 }\n\nfunc (T) two() {}\n```\n\n<!-- sample\nlet b;\n-->\n```js sample\na\n```\n\n```js\nb\n```\n"
	p, err := parse(text, ".")
	if err != nil {
		t.Fatal(err)
	}
	want := "package main\n\n// one is two.\nfunc one() int { return 2 }\n\ntype T struct{}\n\nfunc (T) two() {}\n"
	if got := p.Programs["b"]["main.go"]; got != want {
		t.Errorf("the merged file is %q, want %q", got, want)
	}
	if !strings.Contains(p.Programs["a"]["main.go"], "return 1") {
		t.Error("the first program has changed")
	}
	if len(p.Fragments) != 1 || p.Fragments[0] != (Fragment{19, "js", "let b;\n", "a\n"}) {
		t.Errorf("the fragments are %v", p.Fragments)
	}
	if _, err := parse("```go sample=b/main.go from=a\n```\n", "."); err == nil {
		t.Error("a program that begins with none is no error")
	}
}
