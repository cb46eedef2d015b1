package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A mutant is one change.
type mutant struct {
	id   int
	pkg  string // directory of the package
	file string // name of the file in pkg
	line int
	fn   string // the function, "Type.Method" for methods
	text string // description of the change
	nth  int    // number of the mutant among those with the same fn and text, from 1
	off  bool   // the mutant does not compile

	tried bool // outcome is known

	outcome outcome
}

// key returns a name of the mutant that does not depend on its line.
func (m *mutant) key() string {
	k := fmt.Sprintf("%s: %s: %s", m.pkg, m.fn, m.text)
	if m.nth > 1 {
		k += fmt.Sprintf(" (%d)", m.nth)
	}
	return k
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d: %s", filepath.Join(m.pkg, m.file), m.line, strings.TrimPrefix(m.key(), m.pkg+": "))
}

// insertion is text that is inserted into a file.
type insertion struct {
	at    int
	after bool // the text closes what another insertion opened
	m     *mutant
	text  string
}

// source is a file being instrumented.
type source struct {
	pkg, name string
	b         []byte
	fset      *token.FileSet
	fn        string
	results   []*ast.FieldList // results of the enclosing functions
	inserts   []insertion
	mutants   []*mutant
	next      *int
	zeros     map[string]bool // names of constants that are zero, and other ways to write zero
}

// zeroConstants returns the constants of files whose declaration says that they are zero.
func zeroConstants(files []*ast.File) map[string]bool {
	zeros := map[string]bool{"nil": true, "false": true, "0": true, `""`: true}
	for _, f := range files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				first := g.Specs[0].(*ast.ValueSpec)
				if len(first.Values) == 1 {
					if id, ok := first.Values[0].(*ast.Ident); ok && id.Name == "iota" {
						zeros[first.Names[0].Name] = true
					}
				}
			}
		}
	}
	return zeros
}

// quiet are calls that a test need not notice.
var quiet = regexp.MustCompile(`(?i)^(panic|.*\blog(ger)?(\.\w+)?|.*\.logger\(\)\.\w+|fmt\.Fprint\w*)$`)

// unseen are functions whose output is only for people.
var unseen = map[string]bool{"String": true, "GoString": true, "Error": true, "LogValue": true}

// instrument finds the mutants of a package's files. Their numbers begin with *next.
func instrument(dir, pkg string, names []string, next *int) ([]*source, error) {
	var list []*source
	var files []*ast.File
	for _, name := range names {
		s := &source{pkg: pkg, name: name, fset: token.NewFileSet(), next: next}
		var err error
		if s.b, err = os.ReadFile(filepath.Join(dir, pkg, name)); err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(s.fset, name, s.b, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		list, files = append(list, s), append(files, f)
	}
	zeros := zeroConstants(files)
	for i, s := range list {
		s.zeros = zeros
		s.declarations(files[i])
	}
	return list, nil
}

func (s *source) declarations(f *ast.File) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil || unseen[fn.Name.Name] {
			continue
		}
		s.fn = functionName(fn)
		s.function(fn.Type, fn.Body)
	}
}

func (s *source) function(t *ast.FuncType, body *ast.BlockStmt) {
	s.results = append(s.results, t.Results)
	s.walk(body)
	s.results = s.results[:len(s.results)-1]
}

func (s *source) offset(p token.Pos) int { return s.fset.Position(p).Offset }

// text returns the source of a node.
func (s *source) text(n ast.Node) string { return string(s.b[s.offset(n.Pos()):s.offset(n.End())]) }

// brief returns the source of a node, cut to one short line.
func (s *source) brief(n ast.Node) string {
	t := strings.Join(strings.Fields(s.text(n)), " ")
	if len(t) > 90 {
		t = t[:87] + "..."
	}
	return t
}

func (s *source) mutant(at token.Pos, format string, args ...any) *mutant {
	*s.next++
	m := &mutant{id: *s.next, pkg: s.pkg, file: s.name, line: s.fset.Position(at).Line, fn: s.fn, text: fmt.Sprintf(format, args...)}
	s.mutants = append(s.mutants, m)
	return m
}

// wrap puts text before and after a node.
func (s *source) wrap(n ast.Node, m *mutant, before, after string) {
	s.inserts = append(s.inserts, insertion{s.offset(n.Pos()), false, m, before})
	if after != "" {
		s.inserts = append(s.inserts, insertion{s.offset(n.End()), true, m, after})
	}
}

// walk visits the nodes inside n, outer nodes first.
func (s *source) walk(n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			s.function(n.Type, n.Body)
			return false
		case *ast.BlockStmt:
			s.statements(n.List)
		case *ast.CaseClause:
			s.statements(n.Body)
		case *ast.CommClause:
			s.statements(n.Body)
		case *ast.IfStmt:
			s.condition(n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				s.condition(n.Cond)
			}
		case *ast.SwitchStmt:
			if n.Tag == nil {
				for _, c := range n.Body.List {
					for _, e := range c.(*ast.CaseClause).List {
						s.condition(e)
					}
				}
			}
		case *ast.BinaryExpr:
			s.binary(n)
		case *ast.CompositeLit:
			s.fields(n)
		}
		return true
	})
}

// condition negates the condition of an if, a for or a case.
func (s *source) condition(e ast.Expr) {
	m := s.mutant(e.Pos(), "not (%s)", s.brief(e))
	s.wrap(e, m, "((", fmt.Sprintf(") != mutated(%d))", m.id))
}

var bounds = map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}

func (s *source) binary(e *ast.BinaryExpr) {
	switch e.Op {
	case token.LAND, token.LOR:
		neutral, format := "true", " || mutated(%d))"
		if e.Op == token.LOR {
			neutral, format = "false", " && !mutated(%d))"
		}
		for _, x := range []ast.Expr{e.X, e.Y} {
			if y, ok := x.(*ast.BinaryExpr); ok && y.Op == e.Op {
				continue // its operands are changed separately
			}
			m := s.mutant(x.Pos(), "%s is %s in %s", s.brief(x), neutral, s.brief(e))
			s.wrap(x, m, "(", fmt.Sprintf(format, m.id))
		}
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		op := bounds[e.Op]
		m := s.mutant(e.OpPos, "%s has %v", s.brief(e), op)
		s.wrap(e, m, fmt.Sprintf("(mutated(%d) && (%s %v %s) || !mutated(%d) && (", m.id, oneLine(s.text(e.X)), op, oneLine(s.text(e.Y)), m.id), "))")
	}
}

// fields leaves out fields of a literal of a struct.
func (s *source) fields(e *ast.CompositeLit) {
	switch e.Type.(type) {
	case nil, *ast.ArrayType, *ast.MapType:
		return
	}
	for _, x := range e.Elts {
		pair, ok := x.(*ast.KeyValueExpr)
		if !ok {
			return
		}
		name, ok := pair.Key.(*ast.Ident)
		if !ok || s.zeros[s.text(pair.Value)] {
			continue
		}
		m := s.mutant(pair.Pos(), "without field %s in %s{…}", name.Name, s.brief(e.Type))
		s.wrap(pair.Value, m, fmt.Sprintf("mutatedField(%d, (%s{}).%s).or(", m.id, oneLine(s.text(e.Type)), name.Name), ")")
	}
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }

func (s *source) statements(list []ast.Stmt) {
	for _, st := range list {
		switch st := st.(type) {
		case *ast.ExprStmt:
			if call, ok := st.X.(*ast.CallExpr); !ok || quiet.MatchString(s.text(call.Fun)) {
				continue
			}
			s.drop(st)
		case *ast.AssignStmt:
			if st.Tok == token.DEFINE || s.text(st.Lhs[0]) == "_" && len(st.Lhs) == 1 {
				continue
			}
			s.drop(st)
		case *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt:
			s.drop(st)
		case *ast.BranchStmt:
			if st.Tok == token.BREAK || st.Tok == token.CONTINUE {
				s.drop(st)
			}
		case *ast.ReturnStmt:
			s.zero(st)
		}
	}
}

// drop removes a statement.
func (s *source) drop(st ast.Stmt) {
	m := s.mutant(st.Pos(), "without %s", s.brief(st))
	s.wrap(st, m, fmt.Sprintf("if !mutated(%d) { ", m.id), " }")
}

// zero makes a function return zero values, and true in place of false.
func (s *source) zero(st *ast.ReturnStmt) {
	fields := s.results[len(s.results)-1]
	if fields == nil {
		return
	}
	var values, types []string
	for _, f := range fields.List {
		for range max(1, len(f.Names)) {
			types = append(types, oneLine(s.text(f.Type)))
			values = append(values, "*new("+oneLine(s.text(f.Type))+")")
		}
	}
	zeros := len(st.Results) > 0
	for _, e := range st.Results {
		literal, ok := e.(*ast.CompositeLit) // Alert{} is a zero value too
		zeros = zeros && (s.zeros[s.text(e)] || ok && len(literal.Elts) == 0)
	}
	text := "zero values for " + s.brief(st)
	if zeros {
		if len(st.Results) != 1 || types[0] != "bool" {
			return
		}
		values, text = []string{"true"}, "return true for return false"
	}
	m := s.mutant(st.Pos(), "%s", text)
	s.wrap(st, m, fmt.Sprintf("if mutated(%d) { return %s }; ", m.id, strings.Join(values, ", ")), "")
}

// write returns the file with its mutants that are not off.
func (s *source) write() []byte {
	type piece struct {
		insertion
		order int
	}
	var pieces []piece
	for i, in := range s.inserts {
		if !in.m.off {
			pieces = append(pieces, piece{in, i})
		}
	}
	// At one place, insertions that close come before those that open, innermost first.
	slices.SortStableFunc(pieces, func(a, b piece) int {
		switch {
		case a.at != b.at:
			return a.at - b.at
		case a.after != b.after:
			if a.after {
				return -1
			}
			return 1
		case a.after:
			return b.order - a.order
		}
		return a.order - b.order
	})
	var out bytes.Buffer
	last := 0
	for _, p := range pieces {
		out.Write(s.b[last:p.at])
		out.WriteString(p.text)
		last = p.at
	}
	out.Write(s.b[last:])
	return out.Bytes()
}

// helper is a file that is added to each package.
const helper = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var theMutant, theHits = mutantAndHits()

var wasHit [%d]atomic.Bool

func mutantAndHits() (int, *os.File) {
	n, _ := strconv.Atoi(os.Getenv("GODWIT_MUTANT"))
	f, _ := os.OpenFile(os.Getenv("GODWIT_HITS"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	return n, f
}

func mutated(n int) bool {
	if theHits != nil {
		noteHit(n)
	}
	return n == theMutant
}

type maybeZero[V any] struct {
	n    int
	zero V
}

func mutatedField[V any](n int, zero V) maybeZero[V] { return maybeZero[V]{n, zero} }

func (f maybeZero[V]) or(v V) V {
	if mutated(f.n) {
		return f.zero
	}
	return v
}

func noteHit(n int) {
	if !wasHit[n-%d].Swap(true) {
		theHits.WriteString(strconv.Itoa(n) + "\n")
	}
}
`
