package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// fact is a number of a result and what it means.
type fact struct{ Number, What, Means string }

func newFact(n any, what, means string, args ...any) fact {
	return fact{text(n), what, fmt.Sprintf(means, args...)}
}

// sheet is a table of a result, to be printed or to be put on a page.
type sheet struct {
	Title string
	Head  []string
	Rows  [][]string
}

func (s *sheet) add(values ...any) {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = text(v)
	}
	s.Rows = append(s.Rows, row)
}

// text is a value as it is shown: no number of events needs an exponent.
func text(v any) string {
	if number, ok := v.(float64); ok {
		return strconv.FormatFloat(number, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// printFacts prints facts, one a line.
func printFacts(w io.Writer, facts []fact) {
	for _, f := range facts {
		fmt.Fprintf(w, "%12s  %-17s %s\n", f.Number, f.What, f.Means)
	}
}

// print prints a sheet that has rows.
func (s *sheet) print(w io.Writer) error {
	if len(s.Rows) == 0 {
		return nil
	}
	if s.Title != "" {
		fmt.Fprintf(w, "\n%s\n", s.Title)
	}
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range append([][]string{s.Head}, s.Rows...) {
		fmt.Fprintln(columns, strings.Join(row, "\t")+"\t")
	}
	return columns.Flush()
}

const blocks = "▁▂▃▄▅▆▇█"

// sparkline draws numbers as blocks, the greatest as the highest; nothing is a dot.
func sparkline(numbers []float64) string {
	most := 1.0
	for _, n := range numbers {
		most = max(most, n)
	}
	var b strings.Builder
	levels := []rune(blocks)
	for _, n := range numbers {
		if n == 0 {
			b.WriteByte('.')
			continue
		}
		b.WriteRune(levels[min(len(levels)-1, int(float64(len(levels))*n/most))])
	}
	return b.String()
}
