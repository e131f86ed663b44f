package main

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"pushd/providers/simulator"
)

// misbehaviour is what a provider's server does wrong: with requests, with connections, or both.
type misbehaviour struct {
	what    string
	answer  func(simulator.Request) simulator.Answer
	conduct simulator.Conduct
}

// every lets each n-th stream of a connection have an answer, and the others a good one.
func every(n uint32, a simulator.Answer) func(simulator.Request) simulator.Answer {
	return func(r simulator.Request) simulator.Answer {
		if (r.Stream/2)%n == n-1 {
			return a
		}
		return simulator.Answer{}
	}
}

func always(a simulator.Answer) func(simulator.Request) simulator.Answer {
	return every(1, a)
}

// misbehaviours are those of a server that no proxy on the way could play.
var misbehaviours = []misbehaviour{
	{what: "GOAWAY below our streams", answer: every(50, simulator.Answer{GoAway: &simulator.GoAway{LastStream: simulator.BelowThis}})},
	{what: "REFUSED_STREAM", answer: every(3, simulator.Answer{Reset: http2.ErrCodeRefusedStream})},
	{what: "RST_STREAM", answer: every(5, simulator.Answer{Reset: http2.ErrCodeInternal})},
	{what: "one stream at a time", conduct: simulator.Conduct{MaxStreams: 1}},
	{what: "no stream allowed", conduct: simulator.Conduct{NoStreams: true}},
	{what: "windows never given back", conduct: simulator.Conduct{NoWindowUpdates: true}},
	{what: "reads nothing", conduct: simulator.Conduct{Deaf: true}},
	{what: "never answers", answer: always(simulator.Answer{Silent: true})},
	{what: "one byte a second", conduct: simulator.Conduct{BytesPerSecond: 1}},
	{what: "no SETTINGS", conduct: simulator.Conduct{NoSettings: true}},
	{what: "huge headers", conduct: simulator.Conduct{HeaderPadding: 100_000}},
	{what: "429, Retry-After 1", answer: every(2, simulator.Answer{Status: 429, RetryAfter: "1"})},
	{what: "503, Retry-After a date", answer: every(2, simulator.Answer{Status: 503, RetryAfter: "Sun, 06 Nov 1994 08:49:37 GMT"})},
	{what: "503, Retry-After garbage", answer: every(2, simulator.Answer{Status: 503, RetryAfter: "soon"})},
	{what: "TLS alert", conduct: simulator.Conduct{NoHandshake: true}},
	{what: "nobody listens", conduct: simulator.Conduct{Refuse: true}},
}

// misbehaviourTime is how long each lasts.
func misbehaviourTime(c *command) time.Duration {
	if c.Short {
		return time.Second
	}
	return 4 * time.Second
}

func misbehaviourLasts(c *command) time.Duration {
	const recovers = 15 * time.Second
	return time.Minute + 2*time.Duration(len(misbehaviours))*(misbehaviourTime(c)+recovers)
}

// trouble is what goes wrong with the simulators now; nothing does at first.
type trouble struct{ apns, fcm atomic.Pointer[misbehaviour] }

func (t *trouble) of(provider string) *atomic.Pointer[misbehaviour] {
	if provider == apns {
		return &t.apns
	}
	return &t.fcm
}

// Answer plays what goes wrong with a request.
func (t *trouble) Answer(provider string, r simulator.Request) simulator.Answer {
	if m := t.of(provider).Load(); m != nil && m.answer != nil {
		return m.answer(r)
	}
	return simulator.Answer{}
}

// Conduct plays what goes wrong with a connection.
func (t *trouble) Conduct(provider string) simulator.Conduct {
	if m := t.of(provider).Load(); m != nil {
		return m.conduct
	}
	return simulator.Conduct{}
}

// misbehave has each provider misbehave in each way. Connections are cut where it begins, so that there are new ones to misbehave, and
// where it ends.
func misbehave(ctx context.Context, p *play) error {
	var all []hardship
	for _, provider := range []struct {
		name string
		cut  func()
	}{{apns, p.stage.APNs.CutConnections}, {fcm, p.stage.FCM.CutConnections}} {
		now := p.trouble.of(provider.name)
		for i := range misbehaviours {
			m := &misbehaviours[i]
			all = append(all, hardship{
				what: m.what, whose: provider.name, lasts: misbehaviourTime(p.command),
				begin: func() error { now.Store(m); provider.cut(); return nil },
				end:   func(context.Context) { now.Store(nil); provider.cut() },
			})
		}
	}
	return p.suffer(ctx, all)
}
