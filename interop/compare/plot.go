//go:build linux

package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A plot is a picture of a table: bars of one row, or lines over the losses of the rows that begin with
// prefix, on a logarithmic scale.
type plot struct {
	file, title string
	row, prefix string
}

// style has colours for a light and a dark background.
const style = `<style>
text { font: 13px system-ui, sans-serif; fill: #222 }
.axis { stroke: #888; stroke-width: 1 }
.grid { stroke: #ddd; stroke-width: 1 }
.ours { fill: #2563eb; stroke: #2563eb }
.other { fill: #9a6a2f; stroke: #9a6a2f }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #ddd }
.grid { stroke: #444 }
.ours { fill: #7aa7ff; stroke: #7aa7ff }
.other { fill: #d9a862; stroke: #d9a862 }
}
</style>
`

// plot draws a plot as SVG.
func (r *results) plot(p plot) []byte {
	if p.prefix != "" {
		return r.lines(p)
	}
	return r.bars(p)
}

func class(s server) string {
	if strings.HasPrefix(s.title, "godwit") {
		return "ours"
	}
	return "other"
}

func begin(p plot, width, height int) *bytes.Buffer {
	b := new(bytes.Buffer)
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n<title>%s</title>\n%s", width, height, width, html.EscapeString(p.title), style)
	fmt.Fprintf(b, "<text x=\"10\" y=\"20\" font-weight=\"bold\">%s</text>\n", html.EscapeString(p.title))
	return b
}

// bars draws a bar for each server.
func (r *results) bars(p plot) []byte {
	const left, width, step = 240, 720, 24
	most := 0.0
	var shown []server
	for _, s := range servers {
		if v, ok := r.value(p.row, s.name); ok {
			most = max(most, v)
			shown = append(shown, s)
		}
	}
	b := begin(p, width, 40+step*len(shown))
	for i, s := range shown {
		v, _ := r.value(p.row, s.name)
		y, length := 34+step*i, 0.0
		if most > 0 {
			length = v / most * (width - left - 70)
		}
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", left-8, y+14, html.EscapeString(s.title))
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>\n", class(s), left, y+2, length, step-8)
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", left+length+6, y+14, number(v))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// dashes tell the lines of servers with one colour apart.
var dashes = []string{"", "8 4", "2 3", "10 3 2 3", "5 2", "1 4"}

// lines draws a line for each server over the losses.
func (r *results) lines(p plot) []byte {
	const left, right, top, width, height = 60, 290, 40, 860, 420
	type point struct{ x, y float64 }
	lines := make(map[string][]point)
	xMost, yLeast, yMost := 1.0, math.Inf(1), 0.0
	for _, row := range r.rows {
		text, ok := strings.CutPrefix(row, p.prefix)
		loss, _, _ := strings.Cut(text, " ")
		x, err := strconv.ParseFloat(loss, 64)
		if !ok || err != nil {
			continue
		}
		for _, s := range servers {
			if y, ok := r.value(row, s.name); ok && y > 0 {
				lines[s.name] = append(lines[s.name], point{x, y})
				xMost, yLeast, yMost = max(xMost, x), min(yLeast, y), max(yMost, y)
			}
		}
	}
	if len(lines) == 0 {
		yLeast, yMost = 1, 10
	}
	lowest := math.Pow(10, math.Floor(math.Log10(yLeast)))
	highest := 2 * lowest
	for i := 0; highest < yMost; i++ { // 2, 5, 10, 20
		highest *= []float64{2.5, 2, 2}[i%3]
	}
	px := func(x float64) float64 { return left + x/xMost*(width-left-right) }
	py := func(y float64) float64 {
		return height - 40 - (math.Log10(y)-math.Log10(lowest))/(math.Log10(highest)-math.Log10(lowest))*(height-40-top)
	}
	b := begin(p, width, height)
	for y := lowest; y <= highest*1.001; y *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := y * m; v <= highest*1.001 {
				fmt.Fprintf(b, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", left, width-right, py(v), py(v))
				fmt.Fprintf(b, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", left-6, py(v)+4, v)
			}
		}
	}
	fmt.Fprintf(b, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", left, width-right, height-40, height-40)
	for _, x := range []float64{0, 1, 2, 5, 10} {
		if x <= xMost {
			fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g %%</text>\n", px(x), height-22, x)
		}
	}
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">packets lost in each direction</text>\n", (left+width-right)/2, height-4)
	legend(b, width-right+16, top, func(name string) (path string) {
		points := lines[name]
		slices.SortFunc(points, func(a, b point) int { return int(math.Copysign(1, a.x-b.x)) })
		for _, at := range points {
			path += fmt.Sprintf(" %.1f,%.1f", px(at.x), py(at.y))
		}
		return path
	})
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// legend draws the lines and their names.
func legend(b *bytes.Buffer, x, y int, path func(server string) string) {
	used := map[string]int{}
	for _, s := range servers {
		points := path(s.name)
		if points == "" {
			continue
		}
		c := class(s)
		dash := dashes[used[c]%len(dashes)]
		used[c]++
		fmt.Fprintf(b, "<polyline class=\"%s line\" style=\"fill:none\" stroke-dasharray=\"%s\" points=\"%s\"/>\n", c, dash, points[1:])
		fmt.Fprintf(b, "<line class=\"%s line\" stroke-dasharray=\"%s\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", c, dash, x, x+34, y, y)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\">%s</text>\n", x+40, y+4, html.EscapeString(s.title))
		y += 22
	}
}
