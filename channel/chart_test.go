package channel

import (
	"fmt"
	"math"
	"strings"
)

// A chart is an SVG picture, written by hand: panels with axes, lines, a legend. It
// is readable on light and dark pages.
type chart struct {
	b             strings.Builder
	width, height int
}

// A scale maps values to 0 at the near end of an axis and 1 at the far one.
type scale struct {
	at    func(v float64) float64
	ticks []tick
	label string
}

type tick struct {
	at   float64
	name string
}

// A line is a curve, drawn in the colour of its class.
type line struct {
	class  string
	points [][2]float64
}

type panel struct {
	title         string
	left, top     int
	width, height int
	x, y          scale
	lines         []line
}

const chartStyle = `<style>
.paper{fill:#fff}
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#24292f}
.head{font-size:16px;font-weight:600}
.sub{font-size:13px;font-weight:600}
.note{fill:#57606a}
.grid{stroke:#d8dee4;fill:none}
.frame{stroke:#8c959f;fill:none}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}
.godwit{stroke:#0969da}
.sctp{stroke:#bc4c00;stroke-dasharray:7 3}
.tcp{stroke:#1a7f37;stroke-dasharray:2 3}
.link{stroke:#8c959f;stroke-width:1.4}
@media (prefers-color-scheme:dark){
.paper{fill:#0d1117}
text{fill:#e6edf3}
.note{fill:#9198a1}
.grid{stroke:#2a313c}
.frame{stroke:#656c76}
.godwit{stroke:#58a6ff}
.sctp{stroke:#f0883e}
.tcp{stroke:#56d364}
.link{stroke:#9198a1}
}
</style>
`

func newChart(width, height int, title, note string) *chart {
	c := &chart{width: width, height: height}
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&c.b, "<title>%s</title>\n%s", title, chartStyle)
	fmt.Fprintf(&c.b, `<rect class="paper" width="%d" height="%d"/>`+"\n", width, height)
	c.text(20, 28, "start", "head", title)
	c.text(20, 48, "start", "note", note)
	return c
}

func (c *chart) text(x, y int, anchor, class, s string) {
	fmt.Fprintf(&c.b, `<text x="%d" y="%d" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, s)
}

// legend names classes of lines, from left to right.
func (c *chart) legend(x, y int, entries ...[2]string) {
	for _, e := range entries {
		fmt.Fprintf(&c.b, `<path class="line %s" d="M%d %dh34"/>`+"\n", e[0], x, y-4)
		c.text(x+42, y, "start", "", e[1])
		x += 72 + 7*len(e[1])
	}
}

func (c *chart) add(p panel) {
	right, bottom := p.left+p.width, p.top+p.height
	c.text(p.left, p.top-8, "start", "sub", p.title)
	for _, t := range p.x.ticks {
		x := float64(p.left) + p.x.at(t.at)*float64(p.width)
		fmt.Fprintf(&c.b, `<path class="grid" d="M%.1f %dV%d"/>`+"\n", x, p.top, bottom)
		c.text(int(x+0.5), bottom+17, "middle", "", t.name)
	}
	for _, t := range p.y.ticks {
		y := float64(bottom) - p.y.at(t.at)*float64(p.height)
		fmt.Fprintf(&c.b, `<path class="grid" d="M%d %.1fH%d"/>`+"\n", p.left, y, right)
		c.text(p.left-7, int(y+4.5), "end", "", t.name)
	}
	fmt.Fprintf(&c.b, `<path class="frame" d="M%d %dV%dH%d"/>`+"\n", p.left, p.top, bottom, right)
	if p.x.label != "" {
		c.text(p.left+p.width/2, bottom+36, "middle", "note", p.x.label)
	}
	if p.y.label != "" {
		x, y := p.left-52, p.top+p.height/2
		fmt.Fprintf(&c.b, `<text transform="translate(%d %d) rotate(-90)" text-anchor="middle" class="note">%s</text>`+"\n", x, y, p.y.label)
	}
	for _, l := range p.lines {
		c.curve(&p, l)
	}
}

// curve draws a line, without the points that no pixel tells apart.
func (c *chart) curve(p *panel, l line) {
	fmt.Fprintf(&c.b, `<path class="line %s" d="`, l.class)
	last, pen := "", byte('M')
	for _, q := range l.points {
		x := float64(p.left) + clamp(p.x.at(q[0]))*float64(p.width)
		y := float64(p.top+p.height) - clamp(p.y.at(q[1]))*float64(p.height)
		if at := fmt.Sprintf("%.1f %.1f", x, y); at != last {
			c.b.WriteByte(pen)
			c.b.WriteString(at)
			last, pen = at, 'L'
		}
	}
	c.b.WriteString(`"/>` + "\n")
}

func clamp(v float64) float64 { return min(1, max(0, v)) }

func (c *chart) String() string { return c.b.String() + "</svg>\n" }

// linear is a scale from 0 to top, with a tick at each step.
func linear(label string, top, step float64) scale {
	s := scale{label: label, at: func(v float64) float64 { return v / top }}
	for v := 0.0; v <= top; v += step {
		s.ticks = append(s.ticks, tick{v, fmt.Sprint(v)})
	}
	return s
}

// logarithmic is a scale of times from one to another.
func logarithmic(label string, from, to float64, ticks ...tick) scale {
	return scale{label: label, ticks: ticks, at: func(v float64) float64 {
		return math.Log(max(v, from)/from) / math.Log(to/from)
	}}
}

// nines is a scale of shares that gives the last percents as much room as the first
// ninety.
func nines(label string) scale {
	return scale{
		label: label,
		ticks: []tick{{0, "0"}, {0.5, "50"}, {0.9, "90"}, {0.99, "99"}, {0.999, "99.9"}},
		at:    func(v float64) float64 { return -math.Log10(max(1-v, 0.0009)) / 3.05 },
	}
}
