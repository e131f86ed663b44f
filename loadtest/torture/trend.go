package main

import "time"

// trend is how something that is looked at again and again grows.
type trend struct {
	what   string
	at     []time.Duration
	values []float64
}

func (t *trend) add(at time.Duration, value float64) {
	t.at, t.values = append(t.at, at), append(t.values, value)
}

// after is the trend without what was before a time: a process that has just been started grows.
func (t *trend) after(from time.Duration) *trend {
	later := &trend{what: t.what}
	for i, at := range t.at {
		if at >= from {
			later.add(at, t.values[i])
		}
	}
	return later
}

// floors are the lowest values of each span of time: what is garbage goes and comes again, what leaks stays.
func (t *trend) floors(span time.Duration) *trend {
	lowest := &trend{what: t.what}
	for i, at := range t.at {
		begin := at.Truncate(span)
		if last := len(lowest.at) - 1; last >= 0 && lowest.at[last] == begin {
			lowest.values[last] = min(lowest.values[last], t.values[i])
		} else {
			lowest.add(begin, t.values[i])
		}
	}
	return lowest
}

func (t *trend) mean() float64 {
	sum := 0.0
	for _, v := range t.values {
		sum += v
	}
	return sum / float64(max(1, len(t.values)))
}

// growth is how much it grows in all, by the straight line that is nearest to all values.
func (t *trend) growth() float64 {
	if len(t.at) < 2 {
		return 0
	}
	mean, when := t.mean(), 0.0
	for _, at := range t.at {
		when += at.Seconds() / float64(len(t.at))
	}
	up, along := 0.0, 0.0
	for i, at := range t.at {
		x := at.Seconds() - when
		up, along = up+x*(t.values[i]-mean), along+x*x
	}
	return up / along * (t.at[len(t.at)-1] - t.at[0]).Seconds()
}
