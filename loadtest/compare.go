package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// compareOptions say what is compared.
type compareOptions struct {
	Compare   bool     `help:"Compare two results that --json has written: --compare a.json b.json. What is worse in the second one is marked; the exit code is 0 anyway." group:"compare"`
	Threshold percent  `help:"A difference is marked beyond this part of the first result's value. Only with --compare." default:"10%" group:"compare" placeholder:"10%"`
	Files     []string `arg:"" optional:"" help:"The two files of --compare." group:"compare" name:"file"`
}

// percent is a part of a whole, written as 10%.
type percent float64

// UnmarshalText reads what the command line has.
func (p *percent) UnmarshalText(text []byte) error {
	number, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil || !(number >= 0 && number <= 1000) {
		return fmt.Errorf("%q is no part from 0%% to 1000%%, such as 10%%", text)
	}
	*p = percent(number / 100)
	return nil
}

func (o *compareOptions) faults() error {
	switch {
	case o.Compare && len(o.Files) != 2:
		return fmt.Errorf("--compare needs two files, and there are %d: --compare a.json b.json", len(o.Files))
	case !o.Compare && len(o.Files) > 0:
		return fmt.Errorf("there is no use for %s: files are named to be compared, with --compare", strings.Join(o.Files, " "))
	}
	return nil
}

// Comparison is two results side by side.
type Comparison struct {
	A         string    `json:"a"`                // the file
	B         string    `json:"b"`                //
	Threshold float64   `json:"threshold"`        // of a ratio from 1, to be marked
	Worse     int       `json:"worse"`            // how many are
	Doubts    []string  `json:"doubts,omitempty"` // why the two cannot well be compared
	Measures  []Compare `json:"measures"`         //
}

// Compare is one measure of both.
type Compare struct {
	What  string   `json:"what"`
	A     *float64 `json:"a"` // null where that result does not have it
	B     *float64 `json:"b"`
	Ratio *float64 `json:"ratio"` // b to a; null where one is missing, or a is 0
	Mark  string   `json:"mark"`  // worse, better, or empty: within the threshold, or neither
}

// measure is a number of a result, and what is good.
type measure struct {
	what  string
	value float64
	good  good
	both  bool // it is of no interest where only one result has it
}

type good int

const (
	less    good = -1
	neither good = 0
	more    good = 1
)

func low(what string, value float64) measure  { return measure{what: what, value: value, good: less} }
func high(what string, value float64) measure { return measure{what: what, value: value, good: more} }
func aside(what string, value float64) measure {
	return measure{what: what, value: value, good: neither}
}

func ofBoth(m measure) measure {
	m.both = true
	return m
}

// compare reads two results and compares them.
func compare(o *compareOptions) (*Comparison, error) {
	a, errA := readMeasured(o.Files[0])
	b, errB := readMeasured(o.Files[1])
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	if a.kind() != b.kind() {
		return nil, fmt.Errorf("%s is the result of a %s, and %s of a %s: compare two of the same", o.Files[0], a.kind(), o.Files[1], b.kind())
	}
	c := &Comparison{A: o.Files[0], B: o.Files[1], Threshold: float64(o.Threshold), Doubts: doubts(a, b)}
	for _, m := range a.measures() {
		c.add(m, &m.value, find(b.measures(), m.what))
	}
	for _, m := range b.measures() {
		if find(a.measures(), m.what) == nil {
			c.add(m, nil, &m.value)
		}
	}
	return c, nil
}

func find(all []measure, what string) *float64 {
	i := slices.IndexFunc(all, func(m measure) bool { return m.what == what })
	if i < 0 {
		return nil
	}
	return &all[i].value
}

func (c *Comparison) add(m measure, a, b *float64) {
	if m.both && (a == nil || b == nil) {
		return
	}
	row := Compare{What: m.what, A: a, B: b}
	if a != nil && b != nil {
		if *a != 0 {
			row.Ratio = new(round(*b / *a, 3))
		}
		change := (*b - *a) * float64(m.good) // above 0 where it is better
		if math.Abs(change) > c.Threshold*math.Abs(*a) {
			row.Mark = "better"
			if change < 0 {
				row.Mark = "worse"
				c.Worse++
			}
		}
	}
	c.Measures = append(c.Measures, row)
}

// measured is a result that was read back.
type measured interface {
	kind() string
	setting() map[string]any // what two results should have in common
	disturbed() string       // why this one says little; empty where nothing speaks against it
	measures() []measure
}

// doubts are why two results cannot well be compared: settings in which they differ, and what disturbed either.
func doubts(a, b measured) (all []string) {
	ofB := b.setting()
	for name, value := range a.setting() {
		if ofB[name] != value {
			all = append(all, fmt.Sprintf("%s is %v in the first one, and %v in the second.", name, value, ofB[name]))
		}
	}
	slices.Sort(all)
	for i, of := range []measured{a, b} {
		if why := of.disturbed(); why != "" {
			all = append(all, fmt.Sprintf("of the %s one: %s", [...]string{"first", "second"}[i], why))
		}
	}
	return all
}

// readMeasured reads a result of either kind.
func readMeasured(path string) (measured, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--compare: %w", err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(content, &keys); err != nil {
		return nil, fmt.Errorf("--compare: %s is not JSON: %w; write it with --json", path, err)
	}
	var of measured
	switch {
	case keys["steps"] != nil:
		of = new(RampResult)
	case keys["catch_up_seconds"] != nil:
		of = new(Backlog)
	case keys["timeline"] != nil:
		of = new(Result)
	default:
		return nil, fmt.Errorf("--compare: %s is no result of the load test; write it with --json", path)
	}
	if err := json.Unmarshal(content, of); err != nil {
		return nil, fmt.Errorf("--compare: %s: %w", path, err)
	}
	return of, nil
}
