package main

import (
	"fmt"
	"strings"
	"testing"
)

const goBenchSays = `goos: linux
goarch: amd64
pkg: pushd/store
BenchmarkFlush/known=1000000-2         	      78	   4875217 ns/op	       177.2 cpu-ns/outcome	        10.48 disk-bytes/outcome
BenchmarkIndex/Seen-known-1000000-2    	 2936294	       120.4 ns/op	       0 B/op	       0 allocs/op
PASS
`

func TestFiguresOfGoBenchmarksAreGatheredOverRounds(t *testing.T) {
	t.Parallel()
	o := &goOutcome{Name: "ledger"}
	for range 2 {
		if err := o.add([]byte(goBenchSays), []string{nsPerOp, "cpu-ns/outcome"}); err != nil {
			t.Fatal(err)
		}
	}
	want := "[{Flush/known=1000000 cpu-ns/outcome [177.2 177.2]} {Index/Seen-known-1000000 ns/op [120.4 120.4]}]"
	if got := fmt.Sprint(o.Rows); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := o.add([]byte("PASS\n"), []string{nsPerOp}); err == nil || !strings.Contains(err.Error(), "no figure") {
		t.Errorf("nothing is taken for something: %v", err)
	}
}
