package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"os"

	"pushd/loadtest/plot"
)

// page is a result as a page for a browser: one file, which loads nothing.
type page struct {
	Title  string
	Passed bool
	Head   string // what ran
	About  string
	Doubt  string // why it may say little
	Facts  []fact
	Checks []Check
	Plots  []*plot.Plot
	Sheets []sheet
}

//go:embed report.html
var reportText string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"draw":  (*plot.Plot).HTML,
	"style": func() template.CSS { return plot.Style },
}).Parse(reportText))

// writeReport writes the page of a result to a file.
func writeReport(file *os.File, p *page) error {
	if err := reportPage.Execute(file, p); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return file.Close()
}

// page is what a browser shows of the result.
func (r *Result) page() *page {
	return &page{
		Title: "Load test: " + r.Scenario, Passed: r.Passed, Head: fmt.Sprintf("%s, seed %d", r.Started, r.Seed), About: r.About, Doubt: r.Machine.doubt(),
		Facts: r.facts(), Checks: r.Checks, Plots: r.plots(), Sheets: []sheet{r.latencySheet(), r.swapsSheet()},
	}
}

// plots are those of the timeline; there are none of a run that has no two moments.
func (r *Result) plots() []*plot.Plot {
	if len(r.Timeline) < 2 {
		return nil
	}
	var at []float64
	for _, m := range r.Timeline {
		at = append(at, float64(m.Second))
	}
	line := func(name string, of func(*Moment) float64) plot.Line {
		l := plot.Line{Name: name}
		for i := range r.Timeline {
			l.Y = append(l.Y, of(&r.Timeline[i]))
		}
		return l
	}
	// Where no event was due there is no latency, and not one of 0.
	latency := func(name string, of func(*Moment) float64) plot.Line {
		return line(name, func(m *Moment) float64 {
			if m.Events == 0 {
				return math.NaN()
			}
			return of(m)
		})
	}
	draw := func(title, unit string, lines ...plot.Line) *plot.Plot {
		return &plot.Plot{Title: title, Unit: unit, X: "second", At: at, Lines: lines}
	}
	percentiles := draw("Latency, by when events were due", "ms",
		latency("p50", func(m *Moment) float64 { return m.P50 }), latency("p99", func(m *Moment) float64 { return m.P99 }), latency("p99.9", func(m *Moment) float64 { return m.P999 }))
	percentiles.Log = true
	return []*plot.Plot{
		draw("Events", "per second", line("intended", func(m *Moment) float64 { return m.Intended }), line("published", func(m *Moment) float64 { return m.Published })),
		draw("Pushes accepted", "per second", line("all", func(m *Moment) float64 { return m.APNs + m.FCM }),
			line("APNs", func(m *Moment) float64 { return m.APNs }), line("FCM", func(m *Moment) float64 { return m.FCM })),
		percentiles,
		draw("Events waiting", "events", line("open: nothing came of them yet", func(m *Moment) float64 { return float64(m.Open) }),
			line("lag: not read yet", func(m *Moment) float64 { return m.Lag }), line("parked in the ledger", func(m *Moment) float64 { return m.Parked })),
		draw("CPU", "cores", line("daemon", func(m *Moment) float64 { return m.Cores }),
			line("load test", func(m *Moment) float64 { return m.Self }), line("others", func(m *Moment) float64 { return m.Others })),
		draw("Memory of the daemon", "MB", line("resident", func(m *Moment) float64 { return m.RSSMB })),
	}
}
