package main

import (
	_ "embed"
	"fmt"
	"html/template"
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
	s := curvesOf(r.Timeline)
	if s == nil {
		return nil
	}
	return []*plot.Plot{s.events(), s.pushes(), s.latency(), s.waiting(), s.cpu(), s.memory()}
}
