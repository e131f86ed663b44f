package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"pushd/queue"
	"pushd/queue/event"
)

// letter is what is kept of a dead letter while many are looked at: its value is not.
type letter struct {
	place
	at             time.Time // when it came to the topic
	tenant, device string    // as far as it names them
	key            string
	reason, fault  string
	mark           *event.Mark // the last one; nil where there is none
}

// marked says whether a letter's last mark is of one of these deeds; where none is given, whether it has any.
func (l *letter) marked(deeds ...event.Deed) bool {
	return l.mark != nil && (len(deeds) == 0 || slices.Contains(deeds, l.mark.Deed))
}

// summed is a letter as accounts have it.
func (l *letter) summed() doneLetter {
	return doneLetter{Place: l.place, Tenant: l.tenant, Device: l.device, Reason: l.reason}
}

// letters is what was found in the topic.
type letters struct {
	all     []letter // the oldest first
	strange int      // records that are neither dead letters nor marks
}

// open are those without a mark.
func (l *letters) open() []letter {
	return slices.DeleteFunc(slices.Clone(l.all), func(l letter) bool { return l.mark != nil })
}

// reportsEvery is how often a long reading says how far it is.
const reportsEvery = 5 * time.Second

// read reads the letters that takes says yes to, with their marks.
func (d *desk) read(ctx context.Context, takes func(*letter) bool) (*letters, error) {
	found, marks, same := &letters{}, map[place]*event.Mark{}, map[string]string{}
	records, of, report := int64(0), d.Offsets(), time.Now().Add(reportsEvery)
	err := d.Read(ctx, func(r queue.Record) error {
		if records++; time.Now().After(report) {
			report = time.Now().Add(reportsEvery)
			fmt.Fprintf(d.p.stderr, "pushd: %d records of %s are read, of %d at most\n", records, d.cfg.Feedback.Dead, of)
		}
		if dead, ok := event.ParseDeadLetter(r.Headers); ok {
			if l := letterOf(&r, &dead, same); takes(&l) {
				found.all = append(found.all, l)
			}
		} else if mark, ok := markIn(&r); ok {
			marks[place{mark.Partition, mark.Offset}] = &mark
		} else {
			found.strange++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range found.all {
		found.all[i].mark = marks[found.all[i].place]
	}
	slices.SortStableFunc(found.all, func(a, b letter) int { return cmp.Or(a.at.Compare(b.at), a.place.compare(b.place)) })
	return found, nil
}

// letterOf is what is kept of a record. same holds each text once: there are few, in very many letters.
func letterOf(r *queue.Record, dead *event.DeadLetter, same map[string]string) letter {
	once := func(text string) string {
		if known, ok := same[text]; ok {
			return known
		}
		same[text] = text
		return text
	}
	l := letter{place: place{r.Partition, r.Offset}, at: r.Time, key: string(r.Key), reason: once(dead.Reason), fault: once(dead.Error)}
	l.tenant, l.device = event.Named(r.Key, r.Value, dead.Original)
	l.tenant = once(l.tenant)
	return l
}

// markIn is the mark that a record is. A mark stands behind its letter, in the same partition.
func markIn(r *queue.Record) (event.Mark, bool) {
	mark, ok := event.ParseMark(r.Headers)
	return mark, ok && mark.Partition == r.Partition && mark.Offset < r.Offset
}

// one reads one letter whole; mark is the last that it has, nil where it has none.
func (d *desk) one(ctx context.Context, at place) (record queue.Record, dead event.DeadLetter, mark *event.Mark, err error) {
	first, end := d.Holds(at.partition)
	topic := d.cfg.Feedback.Dead
	switch {
	case end == 0:
		return record, dead, nil, fmt.Errorf("%s is not in %s: there is no partition %d, or nothing was ever in it", at, topic, at.partition)
	case at.offset < first || at.offset >= end:
		return record, dead, nil, fmt.Errorf("%s is not in %s: partition %d has the offsets from %d to before %d; retention deletes the oldest", at, topic, at.partition, first, end)
	}
	found := false
	err = d.Part(at.partition, at.offset, end).Read(ctx, func(r queue.Record) error {
		if r.Offset == at.offset {
			record, found = r, true
		} else if m, ok := markIn(&r); ok && m.Offset == at.offset {
			mark = &m
		}
		return nil
	})
	if err != nil {
		return record, dead, nil, err
	}
	if dead, found = event.ParseDeadLetter(record.Headers); !found {
		return record, dead, nil, fmt.Errorf("the record at %s of %s is no dead letter", at, topic)
	}
	return record, dead, mark, nil
}
