package dispatcher

// badRun stops a partition on which as good as all records are bad: a publisher was changed for the worse, or pushd was
// started with the wrong tenants. Reading on would empty the topic into the dead letters. It belongs to its shard's goroutine.
//
//	reading ──too many bad──▶ stopped ──continued by an operator──▶ let through ──enough good──▶ reading
type badRun struct {
	cfg        DeadLettersConfig
	records    newest[struct{}]
	stopped    bool
	letThrough bool // an operator has looked: it does not stop again before good records have come
}

func newBadRun(cfg DeadLettersConfig) badRun {
	return badRun{cfg: cfg, records: newNewest[struct{}](cfg.StopCount, cfg.StopRatio)}
}

// note takes a record that was read.
func (b *badRun) note(bad bool) {
	if b.cfg.StopCount == 0 {
		return
	}
	if bad {
		b.records.bad(struct{}{})
	} else {
		b.records.good(1)
	}
	many := b.records.share() >= b.cfg.StopRatio
	if !many {
		b.letThrough = false
	}
	b.stopped = b.records.count() >= b.cfg.StopCount && many && !b.letThrough
}

// proceed lets a stopped partition go on, and says whether it was stopped.
func (b *badRun) proceed() bool {
	was := b.stopped
	letThrough := was || b.letThrough
	*b = newBadRun(b.cfg)
	b.letThrough = letThrough
	return was
}
