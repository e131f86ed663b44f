package main

import (
	"context"
	"time"
)

// toxics are what the proxies can do to a stream, each strong enough to hurt.
var toxics = []struct {
	kind       string
	attributes map[string]int
}{
	{"latency", map[string]int{"latency": 300, "jitter": 200}},                         // ms
	{"bandwidth", map[string]int{"rate": 20}},                                          // kB per second
	{"slow_close", map[string]int{"delay": 2000}},                                      // ms
	{"timeout", map[string]int{"timeout": 1500}},                                       // ms without a byte, then the end
	{"reset_peer", map[string]int{"timeout": 300}},                                     // ms after the first byte
	{"slicer", map[string]int{"average_size": 50, "size_variation": 40, "delay": 500}}, // bytes, and µs between
	{"limit_data", map[string]int{"bytes": 5000}},                                      // then the end
}

// toxicTimes is how long each toxic works, and how long a blackhole and a swizzle clog last.
func toxicTimes(c *command) (toxic, blackhole, swizzle time.Duration) {
	if c.Short {
		return 2 * time.Second, 5 * time.Second, 5 * time.Second
	}
	return 4 * time.Second, time.Minute, 30 * time.Second
}

func toxicsLast(c *command) time.Duration {
	toxic, blackhole, swizzle := toxicTimes(c)
	const recovers = 15 * time.Second
	return time.Minute + 3*(time.Duration(len(toxics))*(toxic+recovers)+blackhole+2*recovers) + swizzle + 2*recovers
}

// poisonNetworks has every way go through every toxic, then through a blackhole, and all of them through a swizzle clog.
func poisonNetworks(ctx context.Context, p *play) error {
	toxic, blackhole, swizzle := toxicTimes(p.command)
	var all []hardship
	for _, l := range p.legs {
		for _, t := range toxics {
			all = append(all, hardship{
				what: t.kind, whose: l.name, lasts: toxic, end: l.cure,
				begin: func() error { return l.poison(t.kind, t.attributes, upstream, downstream) },
			})
		}
		all = append(all, hardship{what: "blackhole", whose: l.name, lasts: blackhole, begin: l.clogBoth, end: l.cure})
	}
	all = append(all, p.swizzle(ctx, swizzle))
	return p.suffer(ctx, all)
}

// swizzle clogs a random part of all streams, one after the other, and unclogs them in another order, again and again.
func (p *play) swizzle(ctx context.Context, lasts time.Duration) hardship {
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	return hardship{
		what: "swizzle clog", whose: "all", lasts: lasts,
		begin: func() error {
			go func() { ended <- p.clogAndUnclog(ctx, lasts) }()
			return nil
		},
		end: func(context.Context) {
			stop()
			if err := <-ended; err != nil {
				p.fail(err)
			}
		},
	}
}

// clogAndUnclog leaves nothing clogged when it ends.
func (p *play) clogAndUnclog(ctx context.Context, lasts time.Duration) error {
	type stream struct {
		*leg
		name string
	}
	var streams []stream
	for _, l := range p.legs {
		streams = append(streams, stream{l, upstream}, stream{l, downstream})
	}
	shuffle := func() {
		p.rng.Shuffle(len(streams), func(i, j int) { streams[i], streams[j] = streams[j], streams[i] })
	}
	defer func() {
		for _, l := range p.legs {
			l.cure(context.WithoutCancel(ctx))
		}
	}()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		shuffle()
		clogged := streams[:1+p.rng.IntN(len(streams))]
		for _, s := range clogged {
			if err := s.clog(s.name); err != nil {
				return err
			}
			if !wait(ctx, pause, p.upTo(100*time.Millisecond, time.Second)) {
				return nil
			}
		}
		p.rng.Shuffle(len(clogged), func(i, j int) { clogged[i], clogged[j] = clogged[j], clogged[i] })
		for _, s := range clogged {
			if err := s.unclog(ctx, s.name); err != nil {
				return err
			}
			if !wait(ctx, pause, p.upTo(100*time.Millisecond, time.Second)) {
				return nil
			}
		}
	}
	return nil
}

// wait waits so long; false where ctx has ended.
func wait(ctx context.Context, timer *time.Timer, d time.Duration) bool {
	timer.Reset(d)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
