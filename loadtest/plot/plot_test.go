package plot

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestAFigureIsWellFormedAndEscaped(t *testing.T) {
	t.Parallel()
	p := &Plot{Title: `<b>"rate" & more`, Unit: "1/s", X: "second", At: []float64{0, 1, 2, 3}, Lines: []Line{
		{Name: "<a>", Y: []float64{1, 2, math.NaN(), 4}}, {Name: "most", Y: []float64{5, 5, 5, 5}, Bound: true},
	}}
	figure, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	text := string(figure)
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	for _, want := range []string{"&lt;b&gt;", "second 3\n&lt;a&gt;: 4 1/s\nmost: 5 1/s", "second 2\nmost: 5 1/s"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "NaN") || strings.Contains(text, "<a>") {
		t.Error(text)
	}
}

func TestALineIsBrokenAtItsGaps(t *testing.T) {
	t.Parallel()
	same := func(v float64) float64 { return v }
	nan := math.NaN()
	p := &Plot{At: []float64{0, 1, 2, 3, 4, 5}}
	for i := range markedBelow {
		p.At = append(p.At, float64(6+i))
	}
	y := append([]float64{1, 2, nan, 3, nan, nan}, make([]float64, markedBelow)...)
	for i := 6; i < len(y); i++ {
		y[i] = nan
	}
	d, marks := p.draw(Line{Y: y}, same, same)
	if d != "M0.0 1.0L1.0 2.0M3.0 3.0" || !reflect.DeepEqual(marks, []mark{{3, 3}}) {
		t.Errorf("%s, marked %v", d, marks)
	}
}

func TestALogarithmicAxisLeavesOutWhatItCannotShow(t *testing.T) {
	t.Parallel()
	p := &Plot{Log: true, Lines: []Line{{Y: []float64{0, 3, 4500}}}}
	y, ticks := p.upright(100, 0)
	if !reflect.DeepEqual(ticks, []float64{1, 10, 100, 1000, 10000}) || y(1) != 100 || y(10000) != 0 || math.Abs(y(100)-50) > 1e-9 || p.shows(0) {
		t.Errorf("ticks %v, 1 at %g, 100 at %g", ticks, y(1), y(100))
	}
	narrow := &Plot{Log: true, Lines: []Line{{Y: []float64{30, 80}}}}
	if _, ticks := narrow.upright(100, 0); !reflect.DeepEqual(ticks, []float64{10, 20, 50, 100}) {
		t.Errorf("ticks %v", ticks)
	}
}

func TestAnAxisBeginsAtZeroAndEndsAtARoundNumber(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most  float64
		ticks []float64
	}{
		{3972, []float64{0, 1000, 2000, 3000, 4000}}, {1.1, []float64{0, .5, 1, 1.5}}, {0, []float64{0, .2, .4, .6, .8, 1}},
	} {
		p := &Plot{Lines: []Line{{Y: []float64{0, c.most}}}}
		y, ticks := p.upright(100, 0)
		if fmt.Sprintf("%.3g", ticks) != fmt.Sprintf("%.3g", c.ticks) || y(0) != 100 || math.Abs(y(c.ticks[len(c.ticks)-1])) > 1e-9 {
			t.Errorf("%g: ticks %g", c.most, ticks)
		}
	}
}

func TestANumberIsShort(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", .05: "0.05", 1.5: "1.5", 99.25: "99.25", 123.4: "123", 1234.5: "1,235", 1234567: "1,234,567", -1234: "-1,234", 100: "100"} {
		if got := number(v); got != want {
			t.Errorf("%g is %s, not %s", v, got, want)
		}
	}
}

func TestWhatCannotBeDrawnIsAnError(t *testing.T) {
	t.Parallel()
	for _, p := range []*Plot{{At: []float64{1}}, {At: []float64{1, 2}, Lines: []Line{{Y: []float64{1}}}}} {
		if _, err := p.HTML(); err == nil {
			t.Errorf("%+v was drawn", p)
		}
	}
}
