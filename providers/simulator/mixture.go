package simulator

import "github.com/zeebo/xxh3"

// Mixture answers with faults in given shares. What a request gets depends on the seed, the token and the attempt
// alone, so the same run has the same faults in whatever order its requests come. It is read only once in use.
type Mixture struct {
	Seed      uint64
	DeadShare float64 // of all tokens, 0 to 1: each request for one of these gets Dead
	Dead      Answer  // such as {Reason: "Unregistered"}
	Faults    []Fault // for requests of the other tokens
}

// Fault is an answer and the share of requests, 0 to 1, that get it. The shares of a Mixture add up to 1 at most;
// what is left is accepted.
type Fault struct {
	Share  float64
	Answer Answer
}

// Answer is an Answer function for APNsConfig and FCMConfig.
func (m *Mixture) Answer(r Request) Answer {
	if m.IsDead(r.Token) {
		return m.Dead
	}
	at := m.draw(r.Token, uint64(r.Attempt)+1)
	for i := range m.Faults {
		if at -= m.Faults[i].Share; at < 0 {
			return m.Faults[i].Answer
		}
	}
	return Answer{}
}

// IsDead reports whether the token is one of the dead ones.
func (m *Mixture) IsDead(token string) bool {
	return m.DeadShare > 0 && m.draw(token, 0) < m.DeadShare
}

// draw is a number from 0 up to 1 for a token and a round.
func (m *Mixture) draw(token string, round uint64) float64 {
	const oddly = 0x9e3779b97f4a7c15 // keeps the seeds of rounds apart
	return float64(xxh3.HashStringSeed(token, m.Seed+round*oddly)>>11) / (1 << 53)
}
