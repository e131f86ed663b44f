package main

import (
	"strings"
	"testing"
)

func TestProgressIsALineNowAndThenWhereThereIsNoTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := newProgress(&out, 25)
	for n := 1; n <= 27; n++ {
		p.second(n, 100*n, 10*n, n)
	}
	p.end()
	want := `second 10 of 25: 1000 events/s, 100 pushes/s, 10 open
second 20 of 25: 2000 events/s, 200 pushes/s, 20 open
second 25 of 25: waiting for the last: 250 pushes/s, 25 open
`
	if out.String() != want {
		t.Errorf("it told %q", out.String())
	}
}
