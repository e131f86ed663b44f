package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// fault is one thing that is wrong in the configuration.
type fault struct {
	where string // a file, a variable or the command line; empty where the value is a default
	line  int    // in the file; 0 elsewhere
	key   string
	what  string // what is wrong, and how to mend it
}

func (f fault) String() string {
	var b strings.Builder
	if f.where != "" {
		b.WriteString(f.where)
		if f.line > 0 {
			fmt.Fprintf(&b, ":%d", f.line)
		}
		b.WriteString(": ")
	}
	if f.key != "" {
		b.WriteString(f.key + ": ")
	}
	b.WriteString(f.what)
	return b.String()
}

// faultsError is everything that is wrong in the configuration: an operator mends it in one go.
type faultsError struct{ faults []fault }

// newFaultsError puts the faults in the order in which they stand in the file; those from elsewhere follow.
func newFaultsError(faults []fault) *faultsError {
	slices.SortStableFunc(faults, func(a, b fault) int {
		if (a.line > 0) != (b.line > 0) {
			return cmp.Compare(b.line, a.line)
		}
		return cmp.Compare(a.line, b.line)
	})
	return &faultsError{faults}
}

func (e *faultsError) Error() string {
	lines := make([]string, len(e.faults))
	for i, f := range e.faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// joined takes errors.Join apart; any other error is one.
func joined(err error) []error {
	if err == nil {
		return nil
	}
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range several.Unwrap() {
		all = append(all, joined(e)...)
	}
	return all
}

// nearest is the known name that was most likely meant, or "".
func nearest(name string, known []string) string {
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, k := range known {
		d := distance(strings.ToLower(name), strings.ToLower(k))
		if len(name) >= 3 && (strings.HasPrefix(k, name) || strings.HasPrefix(name, k)) {
			d = min(d, 2)
		}
		if d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", name)
}

// distance is the Levenshtein distance: how many letters must be put in, left out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
