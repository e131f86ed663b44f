// Package plot draws lines over an axis as SVG for a page that needs nothing but itself: no script, no font and no network.
// What colors there are, for light and for dark, says Style; what a point stands for is shown where the pointer is.
package plot

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Plot is lines over one axis.
type Plot struct {
	Title string
	Unit  string    // of the lines
	X     string    // what the axis below is
	At    []float64 // where the points are on it, ascending; two at least
	Lines []Line
	Log   bool // the upright axis is logarithmic; what is not above 0 is left out
}

// Line is one of a plot's lines.
type Line struct {
	Name  string
	Y     []float64 // by point; NaN is a gap
	Bound bool      // it is no measurement but what one is held against
}

// Style is the style sheet that plots need, once in a page.
//
//go:embed plot.css
var Style template.CSS

//go:embed plot.html
var text string

var page = template.Must(template.New("plot").Parse(text))

// The size of a plot and of its margins, in the units of its view box.
const (
	width, height            = 600, 220
	left, right, top, bottom = 62, 24, 10, 38
)

// markedBelow is how many points are so few that each is marked.
const markedBelow = 40

// HTML is the plot as a figure.
func (p *Plot) HTML() (template.HTML, error) {
	if len(p.At) < 2 {
		return "", fmt.Errorf("plot %q has %d points, and a line needs two", p.Title, len(p.At))
	}
	for _, l := range p.Lines {
		if len(l.Y) != len(p.At) {
			return "", fmt.Errorf("plot %q, line %q: %d values for %d points", p.Title, l.Name, len(l.Y), len(p.At))
		}
	}
	var b bytes.Buffer
	err := page.Execute(&b, p.drawing())
	return template.HTML(b.String()), err // made by the template, which has escaped what came from outside
}

// drawing is a plot in the units of its view box.
type drawing struct {
	*Plot
	Width, Height            int
	Left, Right, Top, Bottom float64 // of the field
	XTicks, YTicks           []tick
	Paths                    []path
	Points                   []point
}

type tick struct {
	At    float64
	Label string
}

type path struct {
	Name  string
	Color int
	Bound bool
	D     string
	Marks []mark
}

type mark struct{ X, Y float64 }

// point is what is shown where the pointer is.
type point struct {
	X, From, Width float64
	Says           string
}

func (p *Plot) drawing() *drawing {
	d := &drawing{Plot: p, Width: width, Height: height, Left: left, Right: width - right, Top: top, Bottom: height - bottom}
	x := linear(p.At[0], p.At[len(p.At)-1], d.Left, d.Right)
	y, ticks := p.upright(d.Bottom, d.Top)
	for _, at := range round(p.At[0], p.At[len(p.At)-1], 10) {
		d.XTicks = append(d.XTicks, tick{x(at), number(at)})
	}
	for _, at := range ticks {
		d.YTicks = append(d.YTicks, tick{y(at), number(at)})
	}
	color := 0
	for _, l := range p.Lines {
		drawn := path{Name: l.Name, Color: color, Bound: l.Bound}
		if !l.Bound {
			color++
		}
		drawn.D, drawn.Marks = p.draw(l, x, y)
		d.Paths = append(d.Paths, drawn)
	}
	for i := range p.At {
		d.Points = append(d.Points, p.point(i, x))
	}
	return d
}

// draw is the line as a path, broken where there are gaps. Where the points are few, or alone between gaps, they are marked.
func (p *Plot) draw(l Line, x, y func(float64) float64) (d string, marks []mark) {
	var b strings.Builder
	drawn := func(i int) bool { return i >= 0 && i < len(l.Y) && p.shows(l.Y[i]) }
	for i, value := range l.Y {
		if !drawn(i) {
			continue
		}
		step := 'L'
		if !drawn(i - 1) {
			step = 'M'
		}
		at := mark{x(p.At[i]), y(value)}
		fmt.Fprintf(&b, "%c%.1f %.1f", step, at.X, at.Y)
		if !l.Bound && (len(l.Y) < markedBelow || !drawn(i-1) && !drawn(i+1)) {
			marks = append(marks, at)
		}
	}
	return b.String(), marks
}

func (p *Plot) shows(value float64) bool { return !math.IsNaN(value) && (!p.Log || value > 0) }

// point says what the lines are at the i-th point. It is as wide as half the way to its neighbours.
func (p *Plot) point(i int, x func(float64) float64) point {
	at := x(p.At[i])
	from, to := (x(p.At[max(0, i-1)])+at)/2, (x(p.At[min(i+1, len(p.At)-1)])+at)/2
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", p.X, number(p.At[i]))
	for _, l := range p.Lines {
		if p.shows(l.Y[i]) {
			fmt.Fprintf(&b, "\n%s: %s %s", l.Name, number(l.Y[i]), p.Unit)
		}
	}
	return point{X: at, From: from, Width: to - from, Says: b.String()}
}
