package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// result is all that a run has measured.
type result struct {
	Date     time.Time
	Outcomes []*outcome
}

// figures are a row's medians, as JSON has them.
type figures struct {
	PushesPerSecond    float64  `json:"pushes_per_second"`
	PushesPerSecondMin float64  `json:"pushes_per_second_min"`
	PushesPerSecondMax float64  `json:"pushes_per_second_max"`
	CPU                float64  `json:"cpu_us_per_push"`
	CPUMin             float64  `json:"cpu_us_per_push_min"`
	CPUMax             float64  `json:"cpu_us_per_push_max"`
	SimulatorCPU       *float64 `json:"simulator_cpu_us_per_push,omitempty"`
	RSS                float64  `json:"rss_mb,omitempty"`
}

// json prints one object with a key for each row.
func (r *result) json(w io.Writer) error {
	all := make(map[string]figures)
	for _, o := range r.Outcomes {
		for i := range o.Rows {
			all[o.Rows[i].Key] = o.Rows[i].figures()
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

func (r *row) figures() figures {
	rate, cpu := r.of(sample.rate), r.of(sample.cpuMicros)
	f := figures{
		PushesPerSecond: round(rate.Median, 0), PushesPerSecondMin: round(rate.Min, 0), PushesPerSecondMax: round(rate.Max, 0),
		CPU: round(cpu.Median, 3), CPUMin: round(cpu.Min, 3), CPUMax: round(cpu.Max, 3),
		RSS: round(r.of(sample.megabytes).Median, 1),
	}
	if sim := round(r.of(sample.simMicros).Median, 3); sim > 0 {
		f.SimulatorCPU = &sim
	}
	return f
}

func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

// text prints the tables for a terminal.
func (r *result) text(w io.Writer) error {
	for _, o := range r.Outcomes {
		fmt.Fprintf(w, "%s\n%s\n", o.Title, o.About)
		columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, cells := range o.table() {
			fmt.Fprintf(columns, "%s\t\n", strings.Join(cells, "\t"))
		}
		if err := columns.Flush(); err != nil {
			return err
		}
		for _, note := range o.Notes {
			fmt.Fprintf(w, "%s\n", note)
		}
		fmt.Fprintln(w)
	}
	return nil
}

// table is the cells of a contest's table, with its head first.
func (o *outcome) table() [][]string {
	head := []string{"", "pushes/s", "min..max"}
	for _, key := range o.Against {
		head = append(head, "x "+key)
	}
	head = append(head, "CPU us/push", "min..max")
	for _, key := range o.Against {
		head = append(head, "x "+key)
	}
	cells := [][]string{append(head, "simulators' us/push", "MB")}
	for i := range o.Rows {
		cells = append(cells, o.cells(&o.Rows[i]))
	}
	return cells
}

func (o *outcome) cells(r *row) []string {
	rate, cpu, sim := r.of(sample.rate), r.of(sample.cpuMicros), r.of(sample.simMicros)
	cells := []string{r.Name, fmt.Sprintf("%.0f", rate.Median), fmt.Sprintf("%.0f..%.0f", rate.Min, rate.Max)}
	cells = append(cells, o.ratios(rate.Median, sample.rate)...)
	cells = append(cells, fmt.Sprintf("%.2f", cpu.Median), fmt.Sprintf("%.2f..%.2f", cpu.Min, cpu.Max))
	cells = append(cells, o.ratios(cpu.Median, sample.cpuMicros)...)
	memory := "-" // where it was not measured
	if mb := r.of(sample.megabytes).Median; mb > 0 {
		memory = fmt.Sprintf("%.0f", mb)
	}
	return append(cells, fmt.Sprintf("%.2f", sim.Median), memory)
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
