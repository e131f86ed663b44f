package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pushd/queue"
	"pushd/queue/event"
)

// deadDropCmd is "pushd dead drop".
type deadDropCmd struct {
	Settings
	deadChoice
}

// Help is shown by "pushd dead drop --help".
func (deadDropCmd) Help() string {
	return `Kafka deletes no single record: a dropped letter is marked, by a record behind it, and the commands leave it out from then on. It is
deleted with the topic's retention. Until then "pushd dead list --all" shows it, and it can still be replayed by its place.`
}

func (c *deadDropCmd) Run(p *process) error {
	if err := c.check(); err != nil {
		return err
	}
	return atDesk(p, &c.Config, func(ctx context.Context, d *desk) error {
		chosen, err := d.choose(ctx, &c.deadChoice)
		if err != nil {
			return err
		}
		account := newAccount(p, event.Dropped, &c.deadChoice)
		chosen = account.leaveOutMarked(chosen)
		if !c.Commit {
			for i := range chosen {
				l := &chosen[i]
				account.done = append(account.done, l.summed())
				account.would(l.place, fmt.Sprintf("%s %s/%s", printable(l.reason), dash(l.tenant), dash(printable(l.device))))
			}
			return errors.Join(account.undone(), account.tell(plural(len(chosen), "dead letter", "dead letters")+" would be dropped"))
		}
		poster, err := queue.NewPoster(c.Kafka)
		if err != nil {
			return err
		}
		account.done, err = d.drop(ctx, poster, chosen)
		told := account.tell(plural(len(account.done), "dead letter", "dead letters") + " dropped")
		return errors.Join(err, account.undone(), told, poster.Close())
	})
}

// drop marks letters, and gives those that it has.
func (d *desk) drop(ctx context.Context, poster *queue.Poster, chosen []letter) (dropped []doneLetter, err error) {
	left := make([]doneLetter, len(chosen))
	for i := range chosen {
		left[i] = chosen[i].summed()
	}
	slices.SortFunc(left, func(a, b doneLetter) int { return a.Place.compare(b.Place) })
	for len(left) > 0 && err == nil {
		n := slices.IndexFunc(left, func(l doneLetter) bool { return l.Place.partition != left[0].Place.partition })
		if n < 0 {
			n = len(left)
		}
		n = min(n, postAtOnce)
		var marked []doneLetter
		marked, err = d.mark(ctx, poster, event.Dropped, left[:n])
		dropped, left = append(dropped, marked...), left[n:]
	}
	return dropped, err
}
