package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"pushd/queue"
	"pushd/queue/event"
)

// deadReplayCmd is "pushd dead replay".
type deadReplayCmd struct {
	Settings
	deadChoice
	Value string `help:"Publish what stands in this file in the place of the letter's value. For one letter, named by its place." placeholder:"FILE"`
}

// Help is shown by "pushd dead replay --help".
func (deadReplayCmd) Help() string {
	return `The chosen letters are published to the check-in topic again, with their key, value and headers; those that were replayed or
dropped are left out. Each is marked once it is published, so that it is replayed once only. Should this be killed between the
two, the letters of that moment (at most 100) are still listed though they were published: replayed again, their devices are
woken twice.

Mend the cause first: add the tenant's file, wait until pushd has read it, then

  pushd dead replay --reason unknown_tenant --tenant acme            shows what would be done
  pushd dead replay --reason unknown_tenant --tenant acme --commit   does it

A wake for which tenants.dir, as far as it can be read here, has no credential yet would be a dead letter again at once: it is
not published.

What is no event stays none: such a letter is not published, but one at a time with a mended value:

  pushd dead show 3/17; $EDITOR mended.json
  pushd dead replay 3/17 --value mended.json --commit

A mended value that names tenant and device makes the key too.`
}

func (c *deadReplayCmd) Run(p *process) error {
	if err := c.check(); err != nil {
		return err
	}
	mended, err := c.mended()
	if err != nil {
		return err
	}
	return atDesk(p, &c.Config, func(ctx context.Context, d *desk) error {
		chosen, err := d.choose(ctx, &c.deadChoice)
		if err != nil {
			return err
		}
		r := &replay{desk: d, account: newAccount(p, event.Replayed, &c.deadChoice), mended: mended, tenants: tenantFiles{dir: c.Tenants.Dir}}
		if r.poster, err = queue.NewPoster(c.Kafka); err != nil {
			return err
		}
		err = r.run(ctx, chosen)
		return errors.Join(err, r.poster.Close())
	})
}

// mended is the content of --value; nil without it.
func (c *deadReplayCmd) mended() ([]byte, error) {
	if c.Value == "" {
		return nil, nil
	}
	if len(c.Places) != 1 {
		return nil, usageError{errors.New("--value: is for one letter; name its place")}
	}
	f, err := os.Open(c.Value)
	if err != nil {
		return nil, usageError{fmt.Errorf("--value: %w", err)}
	}
	defer f.Close()
	value, err := io.ReadAll(io.LimitReader(f, event.MaxValue+1)) // one more, and it is refused as too large
	if err != nil {
		return nil, usageError{fmt.Errorf("--value: %w", err)}
	}
	return value, nil
}

// replay publishes letters again. What it was not told to commit, it only counts and names.
type replay struct {
	*desk
	*account
	poster  *queue.Poster
	mended  []byte // nil: as they are
	tenants tenantFiles

	events  []queue.Message // to be published next; all of one partition of letters
	letters []doneLetter    // theirs
}

func (r *replay) run(ctx context.Context, chosen []letter) error {
	chosen = r.leaveOutMarked(chosen, event.Replayed) // one that was dropped may be taken up again
	err := r.each(ctx, chosen, func(record *queue.Record, dead *event.DeadLetter) error {
		// The first goes alone: where this user may not write marks, it is the only one that would be replayed again.
		first := len(r.done) == 0 && len(r.letters) == 1
		if first || len(r.letters) == postAtOnce || len(r.letters) > 0 && r.letters[0].Place.partition != record.Partition {
			if err := r.post(ctx); err != nil {
				return err
			}
		}
		return r.add(record, dead)
	})
	if err == nil {
		err = r.post(ctx)
	}
	return r.conclude(len(chosen), err)
}

// add takes a letter to be published next, or says why it is not.
func (r *replay) add(record *queue.Record, dead *event.DeadLetter) error {
	at := place{record.Partition, record.Offset}
	original := dead.Original
	if dead.Cut.Headers > 0 {
		original = nil // what is left of them may mean something else
	}
	message := queue.Message{Topic: r.cfg.Kafka.Topic, Key: record.Key, Value: record.Value, Headers: slices.Concat(original, dead.Own)}
	if r.mended != nil {
		message.Value = r.mended
		if e, err := event.Decode(nil, r.mended, original, record.Time); err == nil {
			message.Key = event.Key(e.Tenant, e.Device)
		}
	}
	e, err := replayable(&message, dead)
	switch {
	case r.mended == nil && !dead.Cut.Whole():
		err = errors.New("it holds only the beginning of its record, which was too large; give it a value with --value")
	case err == nil:
		if err = r.tenants.lacks(&e); err != nil {
			err = fmt.Errorf("it would be a dead letter again: %w", err)
		}
	}
	l := doneLetter{Place: at, Tenant: e.Tenant, Device: e.Device, Reason: dead.Reason}
	if err != nil {
		l.Tenant, l.Device = event.Named(message.Key, message.Value, message.Headers)
		r.refuse(l, err)
		return nil
	}
	r.would(at, fmt.Sprintf("%s %s/%s", e.Type, e.Tenant, printable(e.Device)))
	r.events, r.letters = append(r.events, message), append(r.letters, l)
	return nil
}

// replayable is the event that would be published, or why it must not be.
func replayable(m *queue.Message, dead *event.DeadLetter) (event.Event, error) {
	e, err := event.Decode(m.Key, m.Value, m.Headers, time.Time{})
	switch {
	case err != nil:
		return e, fmt.Errorf("it would be a dead letter again: %w", err)
	case dead.Topic != m.Topic:
		return e, fmt.Errorf("it was read from %s, and kafka.topic is %s; use the configuration of the pushd that reads the former", printable(dead.Topic), m.Topic)
	case e.Type != event.Wake && e.Time.IsZero():
		return e, fmt.Errorf("a %s that says no time would be taken for one of now, and end wakes that came since; give it its time with --value, or drop it", e.Type)
	}
	return e, nil
}

// post publishes what was added and marks the letters.
func (r *replay) post(ctx context.Context) error {
	events, letters := r.events, r.letters
	r.events, r.letters = nil, nil
	if len(events) == 0 || !r.commit {
		r.done = append(r.done, letters...)
		return nil
	}
	acknowledged, err := r.desk.post(ctx, r.poster, events, queue.ByKey)
	var done []doneLetter
	for i, ok := range acknowledged {
		if ok {
			done = append(done, letters[i])
		}
	}
	r.done = append(r.done, done...)
	if len(done) == 0 {
		return err
	}
	// Told to end or not: what is published must be marked.
	if marked, markErr := r.mark(context.WithoutCancel(ctx), r.poster, event.Replayed, done); markErr != nil {
		err = errors.Join(err, fmt.Errorf("of the %d letters from %s to %s that were published just now, %d are marked; replayed again, the others wake their devices twice: %w",
			len(done), done[0].Place, done[len(done)-1].Place, len(marked), markErr))
	}
	return err
}

// conclude says what was done until then.
func (r *replay) conclude(chosen int, err error) error {
	verb := "published"
	if !r.commit {
		verb = "would be published"
	}
	told := errors.Join(r.undone(), r.tell(fmt.Sprintf("%s %s to %s again", plural(len(r.done), "dead letter", "dead letters"), verb, r.cfg.Kafka.Topic)))
	switch {
	case err != nil:
		return errors.Join(fmt.Errorf("it ended early, after %d of %d: %w", len(r.done)+r.refused, chosen, err), told)
	case len(r.done)+r.refused < chosen:
		return errors.Join(fmt.Errorf("%s gone: retention deleted them meanwhile", plural(chosen-len(r.done)-r.refused, "dead letter is", "dead letters are")), told)
	case r.refused > 0:
		return errors.Join(fmt.Errorf("%s not published, each for the reason given; mend that or the letter's value (--value), or drop it",
			plural(r.refused, "dead letter was", "dead letters were")), told)
	}
	return told
}
