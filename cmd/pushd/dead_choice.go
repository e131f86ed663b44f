package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"time"

	"pushd/queue"
	"pushd/queue/event"
)

// deadChoice is which letters "pushd dead replay" and "drop" work on, and whether they do.
type deadChoice struct {
	deadFilter
	Places []place `arg:"" optional:"" name:"place" help:"Which: PARTITION/OFFSET, as \"pushd dead list\" has it. Or choose by --tenant, --reason, --since, --until." placeholder:"PARTITION/OFFSET"`
	Commit bool    `help:"Do it. Without this, what would be done is shown."`
	JSON   bool    `name:"json" help:"As one JSON object: what was done, or would be, and what was left out and why."`
}

func (c *deadChoice) check() error {
	filtered := c.Tenant != "" || len(c.Reason) > 0 || !c.Since.IsZero() || !c.Until.IsZero()
	switch {
	case len(c.Places) > 0 && filtered:
		return usageError{errors.New("letters are chosen by their places or by --tenant, --reason, --since and --until, not by both")}
	case len(c.Places) == 0 && !filtered:
		return usageError{errors.New("no letters are chosen; name their places, or choose by --tenant, --reason, --since or --until")}
	}
	return c.deadFilter.check()
}

// choose finds the chosen letters. Those found by the filter have no mark; those that were named may.
func (d *desk) choose(ctx context.Context, c *deadChoice) ([]letter, error) {
	if len(c.Places) == 0 {
		found, err := d.read(ctx, c.takes)
		if err != nil {
			return nil, err
		}
		return found.open(), nil
	}
	named := map[int32][]place{}
	for _, at := range c.Places {
		named[at.partition] = append(named[at.partition], at)
	}
	var chosen []letter
	for _, partition := range slices.Sorted(maps.Keys(named)) {
		places := named[partition]
		first := slices.MinFunc(places, place.compare)
		_, end := d.Holds(partition)
		part := &desk{d.Part(partition, first.offset, end), d.cfg, d.p}
		found, err := part.read(ctx, func(l *letter) bool { return slices.Contains(places, l.place) })
		if err != nil {
			return nil, err
		}
		for _, at := range places {
			if !slices.ContainsFunc(found.all, func(l letter) bool { return l.place == at }) {
				return nil, fmt.Errorf("there is no dead letter at %s of %s; it was never one, or retention has deleted it", at, d.cfg.Feedback.Dead)
			}
		}
		chosen = append(chosen, found.all...)
	}
	return chosen, nil
}

// each gives the chosen letters whole to do, partition by partition in their order.
func (d *desk) each(ctx context.Context, chosen []letter, do func(*queue.Record, *event.DeadLetter) error) error {
	byPartition := map[int32]map[int64]bool{}
	for _, l := range chosen {
		if byPartition[l.partition] == nil {
			byPartition[l.partition] = map[int64]bool{}
		}
		byPartition[l.partition][l.offset] = true
	}
	for _, partition := range slices.Sorted(maps.Keys(byPartition)) {
		wanted := byPartition[partition]
		offsets := slices.Sorted(maps.Keys(wanted))
		err := d.Part(partition, offsets[0], offsets[len(offsets)-1]+1).Read(ctx, func(r queue.Record) error {
			dead, ok := event.ParseDeadLetter(r.Headers)
			if !ok || !wanted[r.Offset] {
				return nil
			}
			return do(&r, &dead)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// postAtOnce is how many letters are worked on at once: what a failure leaves in doubt is no more.
const postAtOnce = 100

// publishWithin is how long one batch may take to be published.
const publishWithin = 30 * time.Second

// post publishes a batch, and says which of it was acknowledged. Told to end, it begins none; but one that is begun is
// waited for: a batch that is given up may be published all the same, and nobody would know.
func (d *desk) post(ctx context.Context, poster *queue.Poster, batch []queue.Message, partition int32) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishWithin)
	defer cancel()
	return poster.Post(ctx, batch, partition)
}

// mark marks letters of one partition, and gives those that it has.
func (d *desk) mark(ctx context.Context, poster *queue.Poster, deed event.Deed, letters []doneLetter) (marked []doneLetter, err error) {
	messages := make([]queue.Message, len(letters))
	for i := range letters {
		at := letters[i].Place
		mark := event.Mark{Deed: deed, Partition: at.partition, Offset: at.offset, By: operator(), At: time.Now()}
		messages[i] = queue.Message{Topic: d.cfg.Feedback.Dead, Key: mark.Key(), Headers: mark.Headers()}
	}
	published, err := d.post(ctx, poster, messages, letters[0].Place.partition)
	for i, ok := range published {
		if ok {
			marked = append(marked, letters[i])
		}
	}
	return marked, err
}

// operator is who works here, as a mark says it.
func operator() string {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

// shownLetters is how many letters are named one by one when nothing is done yet.
const shownLetters = 100
