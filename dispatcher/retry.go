package dispatcher

import (
	"math/rand/v2"
	"time"

	"pushd/providers"
)

const (
	// maxBackoff bounds the random part of a wait, so that a provider's first wait of 15 minutes does not grow into days.
	maxBackoff = time.Hour
	// againFloor is the first wait after an Again that asks for none, from the second in a row on: a provider that
	// refuses every connection must not turn the engine into a loop.
	againFloor = 250 * time.Millisecond
	// obeyedSpread is how much later than a Retry-After a wake may be sent: all wakes that were told the same time must
	// not come back in the same instant.
	obeyedSpread = 10
)

// backoff is how long to wait after the n-th answer (n counts from 1) that asked for another try: exponential with full
// jitter, laid on top of the shortest wait that the answer asked for, so that jitter never undercuts a provider's rule
// ("minimum initial delay of 1 minute").
//
//	first + random[0, first x 2^(n-1)),  the random part at most an hour
//
// A Retry-After is obeyed as it stands, with a tenth of it as spread.
func backoff(r *providers.Result, n int, rng *rand.Rand) time.Duration {
	if r.Obeyed {
		return r.Wait + random(rng, r.Wait/obeyedSpread)
	}
	first := r.Wait
	if first <= 0 {
		if n <= 1 {
			return 0
		}
		first = againFloor
	}
	spread := maxBackoff
	if shift := n - 1; shift < 20 && first<<shift < maxBackoff {
		spread = first << shift
	}
	return first + random(rng, spread)
}

func random(rng *rand.Rand, below time.Duration) time.Duration {
	if below <= 0 {
		return 0
	}
	return time.Duration(rng.Int64N(int64(below)))
}
