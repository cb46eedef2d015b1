package metrics

import (
	"strconv"
	"strings"
)

// contentType names the format.
// https://prometheus.io/docs/instrumenting/exposition_formats/
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// A page is the text of the families so far, each followed by its samples.
type page struct {
	b    []byte
	name string // name of the last family
}

func (p *page) counter(name, help string) { p.family(name, "counter", help) }
func (p *page) gauge(name, help string)   { p.family(name, "gauge", help) }

// family begins a family. help must not contain a backslash or a line feed.
func (p *page) family(name, kind, help string) {
	p.name = name
	p.b = append(p.b, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"...)
}

// add adds a sample. Labels are names and values in turn.
func (p *page) add(v uint64, labels ...string) {
	p.series(labels)
	p.b = append(strconv.AppendUint(p.b, v, 10), '\n')
}

func (p *page) addInt(v int, labels ...string) {
	p.series(labels)
	p.b = append(strconv.AppendInt(p.b, int64(v), 10), '\n')
}

func (p *page) addFloat(v float64, labels ...string) {
	p.series(labels)
	p.b = append(strconv.AppendFloat(p.b, v, 'g', -1, 64), '\n')
}

// addWays adds a sample for each direction.
func (p *page) addWays(in, out uint64, labels ...string) {
	p.add(in, append(labels, "direction", "in")...)
	p.add(out, append(labels, "direction", "out")...)
}

// escapes replaces the characters that the value of a label must not contain.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (p *page) series(labels []string) {
	p.b = append(p.b, p.name...)
	mark := byte('{')
	for i := 0; i+1 < len(labels); i += 2 {
		p.b = append(append(p.b, mark), labels[i]...)
		p.b = append(append(p.b, `="`...), escapes.Replace(labels[i+1])...)
		p.b = append(p.b, '"')
		mark = ','
	}
	if mark == ',' {
		p.b = append(p.b, '}')
	}
	p.b = append(p.b, ' ')
}

// A spread counts sessions by one of their figures, for each bound those that are not
// above it.
type spread struct {
	bounds []float64
	counts []int // sessions above the bound before and not above this one; the last has no bound
}

func newSpread(bounds []float64) spread { return spread{bounds, make([]int, len(bounds)+1)} }

func (s *spread) note(v float64) {
	i := 0
	for i < len(s.bounds) && v > s.bounds[i] {
		i++
	}
	s.counts[i]++
}

func (p *page) addSpread(s spread, labels ...string) {
	n := 0
	for i, c := range s.counts {
		n += c
		le := "+Inf"
		if i < len(s.bounds) {
			le = strconv.FormatFloat(s.bounds[i], 'g', -1, 64)
		}
		p.addInt(n, append(labels, "le", le)...)
	}
}
