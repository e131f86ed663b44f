package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestEntriesTakeTurns(t *testing.T) {
	t.Parallel()
	var order []string
	entering := func(name string, fails func(round int) error) entry {
		round := 0
		return entry{key: name, name: name, run: func(context.Context) (sample, error) {
			round++
			order = append(order, fmt.Sprint(name, round))
			return sample{Pushes: int64(round), Took: time.Second}, fails(round)
		}}
	}
	fine := func(int) error { return nil }
	closed := false
	c := contest{
		title:   "a contest",
		entries: []entry{entering("a", fine), entering("b", func(round int) error { return map[int]error{2: errors.New("it broke")}[round] }), entering("c", fine)},
		close:   func() error { closed = true; return nil },
	}
	o, err := c.hold(t.Context(), 3, func(string, ...any) {})
	if got, want := strings.Join(order, " "), "a1 b1 c1 a2 b2 c2 a3 c3"; got != want {
		t.Errorf("the order was %s, want %s", got, want)
	}
	if err == nil || err.Error() != "a contest: b: it broke" {
		t.Errorf("got error %v", err)
	}
	if !closed || len(o.Rows) != 2 || o.row("b") != nil || len(o.row("c").Samples) != 3 || len(o.Notes) != 1 {
		t.Errorf("closed %v, %+v", closed, o)
	}
}

func TestAContestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := contest{entries: []entry{{key: "a", run: func(context.Context) (sample, error) { cancel(); return sample{Pushes: 1}, nil }}}}
	if o, err := c.hold(ctx, 1, func(string, ...any) {}); o != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", o, err)
	}
}

func TestWhereNothingIsAcceptedNothingIsMeasured(t *testing.T) {
	t.Parallel()
	c := contest{title: "a contest", entries: []entry{{key: "a", name: "a", run: func(context.Context) (sample, error) { return sample{}, nil }}}}
	if o, err := c.hold(t.Context(), 1, func(string, ...any) {}); len(o.Rows) != 0 || err == nil || !strings.Contains(err.Error(), "no push was accepted") {
		t.Errorf("got %+v, %v", o, err)
	}
}
