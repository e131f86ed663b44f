package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stopStack is what has to be stopped, and in which order: the reverse of the order in which it was started. Each part
// is put on it where it is made, so a start that fails half-way stops what it had started.
type stopStack struct {
	log   *slog.Logger
	steps []stopStep
}

type stopStep struct {
	name  string
	stop  func(context.Context) error
	limit time.Duration
}

// onStop puts a part on the stack. stop is to return within limit; its context ends then.
func (s *stopStack) onStop(name string, stop func(context.Context) error, limit time.Duration) {
	s.steps = append(s.steps, stopStep{name: name, stop: stop, limit: limit})
}

// stop stops everything, the youngest first, and joins the errors. A part that does not stop in time is left behind with
// an error: the parts below it still get their chance, and the process ends anyway.
func (s *stopStack) stop() error {
	var faults []error
	for len(s.steps) > 0 {
		step := s.steps[len(s.steps)-1]
		s.steps = s.steps[:len(s.steps)-1]
		began := time.Now()
		err := step.run()
		if err != nil {
			faults = append(faults, fmt.Errorf("stop %s: %w", step.name, err))
			continue
		}
		s.log.Debug("stopped", "part", step.name, "took", time.Since(began))
	}
	return errors.Join(faults...)
}

// run has a context of its own: what told the process to stop must not cut short what is to be finished.
func (s stopStep) run() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop(ctx) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	select { // both at once: it did stop
	case err := <-stopped:
		return err
	default:
		return fmt.Errorf("not done after %v", s.limit)
	}
}
