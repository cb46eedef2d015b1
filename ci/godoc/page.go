package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/format"
	"go/printer"
	"go/token"
	"path"
	"regexp"
	"strings"
)

// A page is the documentation of one package.
type page struct {
	path  string
	pkg   *doc.Package
	files *token.FileSet
	out   bytes.Buffer
}

// name returns the path of the package below the module, or the name of the module's package.
func (p *page) name() string { return inside(p.path) }

// file returns the name of the file of the package.
func (p *page) file() string { return fileOf(p.path) }

func inside(importPath string) string {
	if importPath == module {
		return path.Base(module)
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func fileOf(importPath string) string {
	return strings.ReplaceAll(inside(importPath), "/", "_") + ".md"
}

// markdown returns the page.
func (p *page) markdown() []byte {
	p.out.Reset()
	fmt.Fprintf(&p.out, "# %s\n\n```go\nimport %q\n```\n\n", p.name(), p.path)
	p.text(p.pkg.Doc)
	p.examples(p.pkg.Examples)
	p.values("Constants", p.pkg.Consts)
	p.values("Variables", p.pkg.Vars)
	if len(p.pkg.Funcs) > 0 {
		p.heading(2, "Functions", "pkg-functions")
		for _, f := range p.pkg.Funcs {
			p.fun(f, 3)
		}
	}
	if len(p.pkg.Types) > 0 {
		p.heading(2, "Types", "pkg-types")
	}
	for _, t := range p.pkg.Types {
		p.heading(3, "type "+t.Name, t.Name)
		p.anchors(members(t)...)
		p.code(t.Decl)
		p.text(t.Doc)
		p.examples(t.Examples)
		for _, v := range append(t.Consts, t.Vars...) {
			p.value(v)
		}
		for _, f := range append(t.Funcs, t.Methods...) {
			p.fun(f, 4)
		}
	}
	return p.out.Bytes()
}

func (p *page) values(title string, values []*doc.Value) {
	if len(values) == 0 {
		return
	}
	p.heading(2, title, "pkg-"+strings.ToLower(title))
	for _, v := range values {
		p.value(v)
	}
}

func (p *page) value(v *doc.Value) {
	p.anchors(v.Names...)
	p.code(v.Decl)
	p.text(v.Doc)
}

// anchors writes elements that links to names in the next declaration find.
func (p *page) anchors(names ...string) {
	for _, n := range names {
		if ast.IsExported(n) {
			fmt.Fprintf(&p.out, "<a id=%q></a>", n)
		}
	}
	p.out.WriteString("\n\n")
}

// members returns the anchors of the fields of a struct, or of the methods of an interface.
func members(t *doc.Type) []string {
	var names []string
	for _, spec := range t.Decl.Specs {
		s, ok := spec.(*ast.TypeSpec)
		if !ok || s.Name.Name != t.Name {
			continue
		}
		var fields *ast.FieldList
		switch x := s.Type.(type) {
		case *ast.StructType:
			fields = x.Fields
		case *ast.InterfaceType:
			fields = x.Methods
		default:
			continue
		}
		for _, f := range fields.List {
			for _, n := range f.Names {
				if n.IsExported() {
					names = append(names, anchor(t.Name, n.Name))
				}
			}
		}
	}
	return names
}

func (p *page) fun(f *doc.Func, level int) {
	title, id := "func "+f.Name, f.Name
	if f.Recv != "" {
		receiver := strings.TrimLeft(f.Recv, "*")
		receiver, _, _ = strings.Cut(receiver, "[")
		title, id = fmt.Sprintf("func (%s) %s", f.Recv, f.Name), anchor(receiver, f.Name)
	}
	p.heading(level, title, id)
	p.code(f.Decl)
	p.text(f.Doc)
	p.examples(f.Examples)
}

// anchor returns the identifier of a name in its page, of a method with the name of its type.
func anchor(receiver, name string) string {
	if receiver == "" {
		return name
	}
	return receiver + "-" + name
}

func (p *page) heading(level int, title, id string) {
	fmt.Fprintf(&p.out, "%s %s {#%s}\n\n", strings.Repeat("#", level), inline(title), id)
}

// code writes a declaration. That of a func has no body.
func (p *page) code(decl ast.Decl) {
	if f, ok := decl.(*ast.FuncDecl); ok {
		f.Body, f.Doc = nil, nil
	}
	if g, ok := decl.(*ast.GenDecl); ok {
		g.Doc = nil
	}
	p.node(decl)
}

func (p *page) node(n any) {
	p.out.WriteString("```go\n")
	format.Node(&p.out, p.files, n) // what the parser has read can be printed
	p.out.WriteString("\n```\n\n")
}

func (p *page) examples(examples []*doc.Example) {
	for _, e := range examples {
		title := "Example"
		if e.Suffix != "" {
			title += " (" + e.Suffix + ")"
		}
		fmt.Fprintf(&p.out, "**%s**\n\n", title)
		p.text(e.Doc)
		p.out.WriteString("```go\n" + p.program(e) + "\n```\n\n")
		if e.Output != "" {
			fmt.Fprintf(&p.out, "It prints\n\n```text\n%s\n```\n\n", strings.TrimSpace(e.Output))
		}
	}
}

// program returns the statements of an example, or its whole file if it needs one.
func (p *page) program(e *doc.Example) string {
	var b bytes.Buffer
	format.Node(&b, p.files, &printer.CommentedNode{Node: e.Code, Comments: e.Comments})
	block, ok := e.Code.(*ast.BlockStmt)
	if !ok || len(block.List) == 0 {
		return b.String()
	}
	body := strings.TrimSpace(b.String())
	body = strings.TrimSuffix(strings.TrimPrefix(body, "{"), "}")
	body = strings.ReplaceAll(body, "\n\t", "\n")
	if at := output.FindStringIndex(body); at != nil {
		body = body[:at[0]]
	}
	return strings.TrimSpace(body)
}

// output is the comment with the output of an example.
var output = regexp.MustCompile(`(?mi)^//\s*(unordered )?output:`)

// text writes a comment. The names of packages and of their contents in brackets become links.
func (p *page) text(s string) {
	if s == "" {
		return
	}
	printer := p.pkg.Printer()
	printer.HeadingID = func(*comment.Heading) string { return "" }
	printer.DocLinkURL = func(l *comment.DocLink) string {
		name := strings.TrimPrefix(anchor(l.Recv, l.Name), "-")
		switch {
		case l.ImportPath == "":
			return "#" + name
		case l.ImportPath == module || strings.HasPrefix(l.ImportPath, module+"/"):
			link := "./" + fileOf(l.ImportPath)
			if name != "" {
				link += "#" + name
			}
			return link
		}
		return l.DefaultURL("https://pkg.go.dev")
	}
	for line := range strings.Lines(string(printer.Markdown(p.pkg.Parser().Parse(s)))) {
		if !strings.HasPrefix(line, "\t") { // no code
			line = strings.ReplaceAll(line, "{{", "&#123;&#123;") // Vue would compute it
		}
		p.out.WriteString(line)
	}
	p.out.WriteString("\n")
}

// inline returns plain text as text of Markdown.
func inline(s string) string { return special.ReplaceAllString(s, `\$0`) }

var special = regexp.MustCompile("[\\\\`*_\\[\\]<>{}|]")
