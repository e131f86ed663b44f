package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// result is all that a run has measured.
type result struct {
	Date     time.Time
	Machine  machine
	Rounds   int
	Measure  time.Duration // each round of each contender
	Outcomes []*outcome
	Parts    []*goOutcome
}

// figures are a row's medians, as JSON has them.
type figures struct {
	PushesPerSecond    float64  `json:"pushes_per_second"`
	PushesPerSecondMin float64  `json:"pushes_per_second_min"`
	PushesPerSecondMax float64  `json:"pushes_per_second_max"`
	CPU                float64  `json:"cpu_us_per_push"`
	CPUMin             float64  `json:"cpu_us_per_push_min"`
	CPUMax             float64  `json:"cpu_us_per_push_max"`
	SimulatorCPU       float64  `json:"simulator_cpu_us_per_push"`
	RSS                float64  `json:"rss_mb,omitempty"`
	Ahead              *float64 `json:"events_ahead,omitempty"` // this and the rest: nil where not measured
	Within10ms         *float64 `json:"within_10_ms,omitempty"` // shares of the events that had their push by then
	Within50ms         *float64 `json:"within_50_ms,omitempty"`
	Acknowledged10ms   *float64 `json:"acknowledged_within_10_ms,omitempty"` // and that the publisher knew the broker to have
	Acknowledged50ms   *float64 `json:"acknowledged_within_50_ms,omitempty"`
}

// json prints one object: a key for each row of the contests, and one for each benchmark of a part, with its figures by unit.
func (r *result) json(w io.Writer) error {
	all := make(map[string]any)
	for _, o := range r.Outcomes {
		for i := range o.Rows {
			all[o.Rows[i].Key] = o.Rows[i].figures()
		}
	}
	for _, p := range r.Parts {
		for _, row := range p.Rows {
			key := p.Name + "." + row.Name
			units, ok := all[key].(map[string]float64)
			if !ok {
				units = make(map[string]float64)
				all[key] = units
			}
			units[row.Unit] = spreadOf(row.Values).Median
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
		SimulatorCPU: round(r.of(sample.simMicros).Median, 3), RSS: round(r.of(sample.megabytes).Median, 1),
	}
	median := func(of func(sample) float64, digits int) *float64 {
		m := round(r.of(of).Median, digits)
		return &m
	}
	if slices.ContainsFunc(r.Samples, sample.queued) {
		f.Ahead = median(func(s sample) float64 { return *s.Ahead }, 0)
	}
	if slices.ContainsFunc(r.Samples, sample.timed) {
		f.Within10ms = median(func(s sample) float64 { return s.PushLatency[0] }, 5)
		f.Within50ms = median(func(s sample) float64 { return s.PushLatency[1] }, 5)
		f.Acknowledged10ms = median(func(s sample) float64 { return s.AckLatency[0] }, 5)
		f.Acknowledged50ms = median(func(s sample) float64 { return s.AckLatency[1] }, 5)
	}
	return f
}

func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

// sheets are all tables, in the order in which they were measured.
func (r *result) sheets() []*sheet {
	var all []*sheet
	for _, o := range r.Outcomes {
		all = append(all, o.sheet())
	}
	for _, p := range r.Parts {
		all = append(all, p.sheet())
	}
	return all
}

// text prints the tables for a terminal.
func (r *result) text(w io.Writer) error {
	for _, s := range r.sheets() {
		if err := s.text(w); err != nil {
			return err
		}
	}
	return nil
}

// markdown prints the tables as a page, with the machine.
func (r *result) markdown(w io.Writer) error {
	fmt.Fprintf(w, "# Benchmark of %s\n\n", r.Date.UTC().Format(time.DateOnly))
	fmt.Fprintf(w, "Written by `go run ./bench --out FILE`. Medians of %d rounds of %v, in turns; [docs/performance.md](../../docs/performance.md) says what each figure means.\n\n", r.Rounds, r.Measure)
	for _, line := range r.Machine.lines() {
		fmt.Fprintf(w, "- %s\n", line)
	}
	for _, s := range r.sheets() {
		if err := s.markdown(w); err != nil {
			return err
		}
	}
	return nil
}
