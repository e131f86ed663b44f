package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// sheet is a table with what belongs to it, for a terminal and for a page.
type sheet struct {
	title, about string
	cells        [][]string // the head first; the first column is of names, the others of figures
	notes        []string
}

// text prints it for a terminal.
func (s *sheet) text(w io.Writer) error {
	fmt.Fprintf(w, "%s\n%s\n", s.title, s.about)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, cells := range s.cells {
		fmt.Fprintf(columns, "%s\t\n", strings.Join(cells, "\t"))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	for _, note := range s.notes {
		fmt.Fprintln(w, note)
	}
	_, err := fmt.Fprintln(w)
	return err
}

// markdown prints it for a page.
func (s *sheet) markdown(w io.Writer) error {
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n", s.title, s.about)
	for i, cells := range s.cells {
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(w, "|---|%s\n", strings.Repeat("---:|", len(cells)-1))
		}
	}
	if len(s.notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, note := range s.notes {
		fmt.Fprintf(w, "- %s\n", note)
	}
	return nil
}

// sheet is a contest as a table.
func (o *outcome) sheet() *sheet {
	head := []string{"", "pushes/s", "min..max"}
	for _, key := range o.Against {
		head = append(head, "x "+o.nameOf(key))
	}
	head = append(head, "CPU us/push", "min..max")
	for _, key := range o.Against {
		head = append(head, "x "+o.nameOf(key))
	}
	head = append(head, "simulators' us/push", "MB")
	if o.any(sample.queued) {
		head = append(head, "events ahead")
	}
	if o.any(sample.timed) {
		for _, seconds := range latencies {
			head = append(head, fmt.Sprintf("%% pushed within %g ms", seconds*1000), fmt.Sprintf("%% acknowledged within %g ms", seconds*1000))
		}
	}
	s := &sheet{title: o.Title, about: o.About, cells: [][]string{head}, notes: o.Notes}
	for i := range o.Rows {
		s.cells = append(s.cells, o.cells(&o.Rows[i]))
	}
	if floor := o.floor(); floor != nil {
		if times := floor.of(sample.simMicros).Median / floor.of(sample.cpuMicros).Median; times > simulatorsAtMost {
			s.notes = append(slices.Clip(s.notes), fmt.Sprintf("Beside the floor the simulators cost %.2f times what it costs: more than %d times, so they hide part of what is measured.", times, simulatorsAtMost))
		}
	}
	return s
}

// simulatorsAtMost is how many times the floor's CPU per push the simulators may cost.
const simulatorsAtMost = 2

// floor is the row of the floor; nil where it did not take part.
func (o *outcome) floor() *row {
	for i := range o.Rows {
		if r := &o.Rows[i]; strings.HasPrefix(r.Key, "floor") {
			return r
		}
	}
	return nil
}

// nameOf is the name of the row with a key, or the key where it did not take part.
func (o *outcome) nameOf(key string) string {
	if r := o.row(key); r != nil {
		return r.Name
	}
	return key
}

func (o *outcome) cells(r *row) []string {
	rate, cpu, sim := r.of(sample.rate), r.of(sample.cpuMicros), r.of(sample.simMicros)
	cells := []string{r.Name, figure(rate.Median), spreadText(rate)}
	cells = append(cells, o.ratios(rate.Median, sample.rate)...)
	cells = append(cells, figure(cpu.Median), spreadText(cpu))
	cells = append(cells, o.ratios(cpu.Median, sample.cpuMicros)...)
	memory := "-" // where it was not measured
	if mb := r.of(sample.megabytes).Median; mb > 0 {
		memory = figure(mb)
	}
	cells = append(cells, figure(sim.Median), memory)
	if o.any(sample.queued) {
		cells = append(cells, figure(math.Round(r.of(func(s sample) float64 { return *s.Ahead }).Median)))
	}
	if o.any(sample.timed) {
		for i := range latencies {
			pushed := r.of(func(s sample) float64 { return s.PushLatency[i] })
			acknowledged := r.of(func(s sample) float64 { return s.AckLatency[i] })
			cells = append(cells, fmt.Sprintf("%.2f", 100*pushed.Median), fmt.Sprintf("%.2f", 100*acknowledged.Median))
		}
	}
	return cells
}

// any says whether a sample of it is like that.
func (o *outcome) any(is func(sample) bool) bool {
	return slices.ContainsFunc(o.Rows, func(r row) bool { return slices.ContainsFunc(r.Samples, is) })
}

// ratios are a median over that of each row that others are compared with.
func (o *outcome) ratios(median float64, value func(sample) float64) []string {
	var cells []string
	for _, key := range o.Against {
		cell := "-"
		if base := o.row(key); base != nil {
			cell = fmt.Sprintf("%.2f", median/base.of(value).Median)
		}
		cells = append(cells, cell)
	}
	return cells
}

// sheet is a package's benchmarks as a table.
func (o *goOutcome) sheet() *sheet {
	s := &sheet{title: o.Title, about: o.About, cells: [][]string{{"", "median", "min..max", "unit"}}}
	for _, r := range o.Rows {
		of := spreadOf(r.Values)
		s.cells = append(s.cells, []string{r.Name, figure(of.Median), spreadText(of), r.Unit})
	}
	return s
}

func spreadText(s spread) string { return figure(s.Min) + ".." + figure(s.Max) }

// figure is a number with as many digits as say something.
func figure(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x >= 1000:
		return thousands(fmt.Sprintf("%.0f", x))
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// thousands puts commas between the thousands of whole digits.
func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
