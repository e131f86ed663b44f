package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPartsStopInReverseOrderAndAllErrorsAreTold(t *testing.T) {
	t.Parallel()
	var order []string
	stack := &stopStack{log: slog.New(slog.DiscardHandler)}
	broken, missing := errors.New("broken"), errors.New("missing")
	for name, err := range map[string]error{"ledger": nil} {
		stack.onStop(name, func(context.Context) error { order = append(order, name); return err }, time.Second)
	}
	stack.onStop("publisher", func(context.Context) error { order = append(order, "publisher"); return broken }, time.Second)
	stack.onStop("engine", func(context.Context) error { order = append(order, "engine"); return nil }, time.Second)
	stack.onStop("consumer", func(context.Context) error { order = append(order, "consumer"); return missing }, time.Second)

	err := stack.stop()
	if want := []string{"consumer", "engine", "publisher", "ledger"}; !slices.Equal(order, want) {
		t.Errorf("stopped %v, want %v", order, want)
	}
	if !errors.Is(err, broken) || !errors.Is(err, missing) || !strings.Contains(err.Error(), "stop publisher: broken") {
		t.Errorf("error is %v", err)
	}
	if err := stack.stop(); err != nil || len(order) != 4 {
		t.Errorf("a second stop did something: %v, %v", err, order)
	}
}

func TestAPartThatHangsDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stack := &stopStack{log: slog.New(slog.DiscardHandler)}
		closed, release := false, make(chan struct{})
		stack.onStop("ledger", func(context.Context) error { closed = true; return nil }, time.Second)
		stack.onStop("consumer", func(context.Context) error { <-release; return nil }, 3*time.Second)
		began := time.Now()
		err := stack.stop()
		if err == nil || !strings.Contains(err.Error(), "stop consumer: not done after 3s") {
			t.Errorf("error is %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("stopping took %v, want 3s", took)
		}
		if !closed {
			t.Error("the ledger was not closed")
		}
		close(release)
	})
}

func TestAPartLearnsThatItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stack := &stopStack{log: slog.New(slog.DiscardHandler)}
		stack.onStop("publisher", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, time.Second)
		if err := stack.stop(); err == nil || !strings.Contains(err.Error(), "stop publisher: ") {
			t.Errorf("error is %v", err)
		}
	})
}
