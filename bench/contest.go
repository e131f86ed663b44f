package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// entry is one that takes part in a contest.
type entry struct {
	key  string // in JSON
	name string // for people
	run  func(context.Context) (sample, error)
}

// contest compares its entries in rounds, A B C A B C, so that whatever else the machine does meanwhile is shared out.
type contest struct {
	title   string
	about   string // the conditions
	entries []entry
	// against are keys of entries that the others are compared with.
	against []string
	notes   []string
	close   func() error // what was started for it; nil where nothing was
}

// outcome is a contest that was held.
type outcome struct {
	Title   string
	About   string
	Against []string
	Rows    []row
	Notes   []string
}

// row is an entry and its measurements.
type row struct {
	Key, Name string
	Samples   []sample
}

func (r *row) of(value func(sample) float64) spread {
	values := make([]float64, len(r.Samples))
	for i, s := range r.Samples {
		values[i] = value(s)
	}
	return spreadOf(values)
}

// hold holds the contest; say is told of each measurement. An entry that fails takes part no more, and the error says so
// beside the outcome of the others.
func (c *contest) hold(ctx context.Context, rounds int, say func(string, ...any)) (_ *outcome, err error) {
	if c.close != nil {
		defer func() { err = errors.Join(err, c.close()) }()
	}
	o := &outcome{Title: c.title, About: c.about, Against: c.against, Notes: c.notes}
	rows := make([]row, len(c.entries))
	failed := make(map[string]error)
	for round := range rounds {
		for i, e := range c.entries {
			if failed[e.key] != nil {
				continue
			}
			s, err := e.run(ctx)
			if err == nil && s.Pushes == 0 {
				err = errors.New("no push was accepted while it was measured")
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				failed[e.key] = fmt.Errorf("%s: %s: %w", c.title, e.name, err)
				say("%v", failed[e.key])
				continue
			}
			say("%s, round %d of %d: %-24s %9.0f pushes/s  %6.2f us CPU per push  %6.2f us the simulator's", c.title, round+1, rounds, e.name, s.rate(), s.cpuMicros(), s.simMicros())
			rows[i].Key, rows[i].Name = e.key, e.name
			rows[i].Samples = append(rows[i].Samples, s)
		}
	}
	for i, e := range c.entries {
		if failed[e.key] == nil {
			o.Rows = append(o.Rows, rows[i])
		} else {
			o.Notes = append(o.Notes, e.name+" failed, and is left out.")
		}
	}
	return o, errors.Join(slices.Collect(maps.Values(failed))...)
}

// row is the one of a key; nil where that did not take part.
func (o *outcome) row(key string) *row {
	for i := range o.Rows {
		if o.Rows[i].Key == key {
			return &o.Rows[i]
		}
	}
	return nil
}
