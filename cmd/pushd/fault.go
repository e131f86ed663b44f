package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pushd/providers"
)

// fault is one thing that is wrong in the configuration or in a tenant's file.
type fault struct {
	where  string // a file, a variable or the command line; empty where the value is a default
	line   int    // in the file; 0 elsewhere
	key    string
	tenant string // whose file it is, where that is known
	what   string // what is wrong, and how to mend it
}

func tenantFault(f providers.Fault) fault {
	return fault{where: f.File, line: f.Line, key: f.Key, tenant: f.Tenant, what: f.What.Error()}
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
	return printable(b.String()) // keys and paths are as somebody wrote them
}

func (f fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File   string `json:"file,omitempty"`
		Line   int    `json:"line,omitempty"`
		Key    string `json:"key,omitempty"`
		Tenant string `json:"tenant,omitempty"`
		What   string `json:"what"`
	}{f.where, f.line, f.key, f.tenant, f.what})
}

// faultsError is everything that is wrong in the configuration: an operator mends it in one go.
type faultsError struct {
	faults []fault
	told   bool // they are printed already
}

// newFaultsError puts the faults in the order in which they stand in the file; those from elsewhere follow.
func newFaultsError(faults []fault) *faultsError {
	slices.SortStableFunc(faults, func(a, b fault) int {
		if (a.line > 0) != (b.line > 0) {
			return cmp.Compare(b.line, a.line)
		}
		return cmp.Compare(a.line, b.line)
	})
	return &faultsError{faults: faults}
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
