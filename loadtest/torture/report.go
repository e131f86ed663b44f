package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Report is what came of an ordeal.
type Report struct {
	Ordeal      string   `json:"ordeal"`
	About       string   `json:"about"`
	Seed        uint64   `json:"seed"`
	Started     string   `json:"started"`
	Seconds     float64  `json:"seconds"`
	Events      int      `json:"events"`
	Pushes      int      `json:"pushes"`
	Lost        int      `json:"lost"`
	LostAllowed int      `json:"lost_allowed"` // more than 0 only where a loss is the documented one
	FirstLost   []string `json:"first_lost,omitempty"`
	Extra       int      `json:"extra"`
	Figures     []Figure `json:"figures"`
	Tables      []Table  `json:"tables,omitempty"`
	Checks      []Check  `json:"checks"`
	Passed      bool     `json:"passed"`
}

// Figure is a number, and what it is.
type Figure struct {
	Number float64 `json:"number"`
	What   string  `json:"what"`
}

// Table has rows of numbers and words.
type Table struct {
	Title string     `json:"title"`
	Head  []string   `json:"head"`
	Rows  [][]string `json:"rows"`
	Shown int        `json:"-"` // so many rows are shown to people; 0 is all
}

// Check is something that was expected.
type Check struct {
	What   string `json:"what"`
	Want   string `json:"want"`
	Got    string `json:"got"`
	Passed bool   `json:"passed"`
}

func (r *Report) figure(number float64, format string, args ...any) {
	r.Figures = append(r.Figures, Figure{number, fmt.Sprintf(format, args...)})
}

// check notes whether something is at most so much.
func (r *Report) check(what string, got, most float64) {
	r.Checks = append(r.Checks, Check{what, "at most " + number(most), number(got), got <= most})
}

// least notes whether something is at least so much.
func (r *Report) least(what string, got, least float64) {
	r.Checks = append(r.Checks, Check{what, "at least " + number(least), number(got), got >= least})
}

func (t *Table) add(values ...any) {
	row := make([]string, len(values))
	for i, v := range values {
		if n, ok := v.(float64); ok {
			v = number(n)
		}
		row[i] = fmt.Sprint(v)
	}
	t.Rows = append(t.Rows, row)
}

// lost is how many events were lost that should not have been.
func (r *Report) lost() int { return max(0, r.Lost-r.LostAllowed) }

// conclude adds what is expected of every ordeal, and says whether all was as expected.
func (r *Report) conclude() {
	r.check("events lost, beyond those of a documented loss", float64(r.lost()), 0)
	r.Passed = true
	for _, c := range r.Checks {
		r.Passed = r.Passed && c.Passed
	}
}

// number is a number as people read it: with three digits that say something, and no exponent.
func number(n float64) string {
	if whole := int64(n); float64(whole) == n || n >= 100 || n <= -100 {
		return strconv.FormatInt(int64(n+0.5), 10)
	}
	text := strconv.FormatFloat(n, 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

// table prints the report for people.
func (r *Report) table(w io.Writer) {
	verdict := "FAILED"
	if r.Passed {
		verdict = "PASSED"
	}
	fmt.Fprintf(w, "\n%s: ordeal %s, seed %d, started %s, %.0f s\n%s\n\n", verdict, r.Ordeal, r.Seed, r.Started, r.Seconds, r.About)
	for _, f := range append([]Figure{
		{float64(r.Events), "events published"},
		{float64(r.Pushes), "pushes accepted by the simulators"},
		{float64(r.Lost), "events lost " + strings.Join(r.FirstLost, "; ")},
		{float64(r.Extra), "pushes too many"},
	}, r.Figures...) {
		fmt.Fprintf(w, "%10s  %s\n", number(f.Number), f.What)
	}
	for i := range r.Tables {
		r.Tables[i].print(w)
	}
	fmt.Fprintln(w)
	for _, c := range r.Checks {
		verdict := "FAIL"
		if c.Passed {
			verdict = "pass"
		}
		fmt.Fprintf(w, "%s  %s: %s; it is %s\n", verdict, c.What, c.Want, c.Got)
	}
}

func (t *Table) print(w io.Writer) {
	rows := t.Rows
	title := t.Title
	if t.Shown > 0 && len(rows) > t.Shown {
		title += fmt.Sprintf(" (the first %d of %d; --json has all)", t.Shown, len(rows))
		rows = rows[:t.Shown]
	}
	fmt.Fprintf(w, "\n%s\n", title)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{t.Head}, rows...) {
		fmt.Fprintln(columns, strings.Join(row, "\t")+"\t")
	}
	_ = columns.Flush() // whoever reads is gone; there is nobody to tell
}
