package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
)

// The parts of the daemon that have benchmarks of their own beside their tests: this runs them, in turns, and sums up.

// goBenchmark is some benchmarks of a package.
type goBenchmark struct {
	name    string // for --only
	title   string
	about   string
	pkg     string
	pattern string
	units   []string // those that say something
}

var goBenchmarks = []goBenchmark{
	{
		name: "ledger", title: "Ledger", pkg: "pushd/store", pattern: "^(BenchmarkFlush|BenchmarkIndex|BenchmarkIndexMemory)$",
		about: "Look-ups in the index, inserts and flushes to disk (20,000 outcomes each, with sync), with so many known devices, one event id each.",
		units: []string{nsPerOp, "ns/outcome", "cpu-ns/outcome", "disk-bytes/outcome", "bytes/device", "ns/device"},
	},
	{
		name: "decode", title: "Events", pkg: "pushd/queue/event", pattern: "^(BenchmarkDecode|BenchmarkEncodingJSON)$",
		about: "A typical wake decoded and checked; beside it encoding/json, which checks nothing of it.",
		units: []string{nsPerOp, "allocs/op"},
	},
	{
		name: "queue", title: "Queue", pkg: "pushd/queue", pattern: "^(BenchmarkConsume|BenchmarkPublish)$",
		about: "Records of 300 bytes consumed by a group, with commits, and published with acks=all; the broker is in the same process.",
		units: []string{"records/s", "messages/s", "allocs/op"},
	},
}

// goRow is one figure of one benchmark, of each round.
type goRow struct {
	Name   string
	Unit   string
	Values []float64
}

// goOutcome is what a goBenchmark came to.
type goOutcome struct {
	Name, Title, About string
	Rows               []goRow
}

// runGo runs the benchmarks in rounds.
func (l *lab) runGo(ctx context.Context) ([]*goOutcome, error) {
	var all []*goOutcome
	var of []goBenchmark
	for _, b := range goBenchmarks {
		if l.wanted(b.name) {
			of, all = append(of, b), append(all, &goOutcome{Name: b.name, Title: b.title, About: b.about})
		}
	}
	for round := range l.Rounds {
		for i, b := range of {
			l.say("%s, round %d of %d: go test -bench '%s' %s", b.title, round+1, l.Rounds, b.pattern, b.pkg)
			out, err := b.run(ctx, l.Measure)
			if err != nil {
				return nil, err
			}
			if err := all[i].add(out, b.units); err != nil {
				return nil, fmt.Errorf("benchmarks of %s: %w", b.pkg, err)
			}
		}
	}
	return all, nil
}

// run returns what "go test" prints. There are dozens of benchmarks, so each runs for a tenth of the time.
func (b *goBenchmark) run(ctx context.Context, measure time.Duration) ([]byte, error) {
	test := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", b.pattern, "-benchmem", "-benchtime", (measure / 10).String(), b.pkg)
	test.Stderr = os.Stderr
	out, err := test.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmarks of %s: %w; call this in the checkout\n%s", b.pkg, err, out)
	}
	return out, nil
}

// add takes the figures of one run that have these units. The time of an operation says nothing where a benchmark has a
// figure of its own.
func (o *goOutcome) add(out []byte, units []string) error {
	found := 0
	for reader := benchfmt.NewReader(bytes.NewReader(out), o.Name); reader.Scan(); {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		values, own := make(map[string]float64), false
		for _, v := range result.Values {
			if v.OrigUnit != "" { // it was made seconds or bytes
				v.Value, v.Unit = v.OrigValue, v.OrigUnit
			}
			values[v.Unit] = v.Value
			own = own || slices.Contains(units, v.Unit) && !strings.HasSuffix(v.Unit, "/op")
		}
		if own {
			delete(values, nsPerOp)
		}
		for _, unit := range units {
			if value, has := values[unit]; has {
				row := o.row(nameOf(result), unit)
				row.Values = append(row.Values, value)
				found++
			}
		}
	}
	if found == 0 {
		return errors.New("no figure of a known unit was printed")
	}
	return nil
}

const nsPerOp = "ns/op"

// nameOf is a benchmark's name without the number of cores.
func nameOf(r *benchfmt.Result) string {
	base, parts := r.Name.Parts()
	name := string(base)
	for _, part := range parts {
		if part[0] == '/' {
			name += string(part)
		}
	}
	return name
}

func (o *goOutcome) row(name, unit string) *goRow {
	for i := range o.Rows {
		if r := &o.Rows[i]; r.Name == name && r.Unit == unit {
			return r
		}
	}
	o.Rows = append(o.Rows, goRow{Name: name, Unit: unit})
	return &o.Rows[len(o.Rows)-1]
}
