package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"pushd/providers/spelling"
)

// Script says what goes wrong with the providers, and when. ReadScript makes it of a YAML file; nothing goes wrong before
// Start.
//
// What a request gets depends on the script, the time, the token and the attempt alone, so the same run has the same
// faults in whatever order its requests come, and whoever judges a run can ask Answer once more. An outage goes before
// all; then faults are asked in the order of the file, and the first that has an answer gives it. A fault that has
// latency only makes whatever the answer is late. A request that no fault concerns is accepted.
//
// It is safe for concurrent use.
type Script struct {
	file    string
	seed    uint64
	faults  []Fault           // as in the file
	parts   map[string][]part // by provider, outages first
	started atomic.Pointer[time.Time]
}

// part is a fault as one provider plays it.
type part struct {
	*Fault
	number uint64 // in the file, so that no two faults concern the same requests by chance
	answer Answer
	of     map[string]bool // topics, projects and tenants; nil: all
}

// Faults are those of the file, in its order.
func (s *Script) Faults() []Fault { return slices.Clone(s.faults) }

// Start is time zero of the script.
func (s *Script) Start(at time.Time) { s.started.Store(&at) }

// Know tells the script which tenants there are: their names, by APNs topic and FCM project. From then on a fault may
// name its tenants so; one that names a tenant, topic or project that nobody has would never show, and is an error.
// It belongs before Start. Without it, only topics, projects and what else Request.Tenant tells can be named.
func (s *Script) Know(tenants map[string]string) error {
	known := make([]string, 0, 2*len(tenants))
	for of, tenant := range tenants {
		known = append(known, of, tenant)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	errs := &scriptErrors{file: s.file}
	for i := range s.faults {
		f := &s.faults[i]
		for _, name := range f.Tenants {
			if _, found := slices.BinarySearch(known, name); !found {
				errs.add(f.Line, fmt.Errorf("tenants: nobody is called %q%s", name, spelling.DidYouMean(name, known)))
			}
		}
	}
	for _, parts := range s.parts {
		for _, p := range parts {
			for of, tenant := range tenants {
				if p.of[tenant] {
					p.of[of] = true
				}
			}
		}
	}
	return errs.err()
}

// of are the faults of a provider.
func (s *Script) of(provider string) []part {
	parts, ok := s.parts[provider]
	if !ok {
		panic("simulator: there is no provider " + provider)
	}
	return parts
}

// Answer is what a provider, "apns" or "fcm", does with a request: the Answer function of its configuration.
func (s *Script) Answer(provider string, r Request) Answer {
	started := s.started.Load()
	if started == nil {
		return Answer{}
	}
	since := r.At.Sub(*started)
	var a Answer
	var late time.Duration
	answered := false
	parts := s.of(provider)
	for i := range parts {
		p := &parts[i]
		switch {
		case answered && p.Fault.Answer != "" || !p.inForce(since) || !s.concerns(p, &r):
		case p.Fault.Answer == "":
			late += p.Latency
		default:
			a, answered = p.answer, true
			if a.Status == http.StatusGone {
				a.Timestamp = started.Add(p.After)
			}
		}
	}
	a.Latency += late
	return a
}

// concerns reports whether a fault that is in force is one of this request.
func (s *Script) concerns(p *part, r *Request) bool {
	return (p.of == nil || p.of[r.Topic] || p.of[r.Tenant]) &&
		(p.Tokens == 1 || s.draw(p, r.Token, 0) < p.Tokens) &&
		(p.Share == 1 || s.draw(p, r.Token, uint64(r.Attempt)+1) < p.Share)
}

// draw is a number from 0 up to 1 for a fault, a token and a round.
func (s *Script) draw(p *part, token string, round uint64) float64 {
	const oddly, more = 0x9e3779b97f4a7c15, 0xd1342543de82ef95 // keep the seeds of rounds and of faults apart
	return float64(xxh3.HashStringSeed(token, s.seed+round*oddly+p.number*more)>>11) / (1 << 53)
}

// Conduct is what a provider, "apns" or "fcm", does with a connection that comes now: the Conduct function of its
// configuration.
func (s *Script) Conduct(provider string) Conduct {
	started := s.started.Load()
	if started == nil {
		return Conduct{}
	}
	since := time.Since(*started)
	return Conduct{Refuse: slices.ContainsFunc(s.of(provider), func(p part) bool { return p.outage() && p.inForce(since) })}
}
