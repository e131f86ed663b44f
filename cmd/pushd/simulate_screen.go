package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"pushd/providers"
	"pushd/providers/simulator"
	"pushd/queue/event"
)

// trialScreen is where a trial shows what happens: as lines to be read or, with --json, as one object per line.
type trialScreen struct {
	json bool

	mu  sync.Mutex // guards out: news come from all connections
	out io.Writer
}

// news is something that happened: its fields are the JSON, line is the text.
type news interface{ line() string }

// show shows news, and says whether somebody may have seen it.
func (s *trialScreen) show(n news) bool {
	text := n.line()
	if s.json {
		encoded, err := json.Marshal(n)
		if err != nil {
			panic("pushd: " + err.Error()) // news are strings, numbers and times
		}
		text = string(encoded) + "\n"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.WriteString(s.out, text)
	return err == nil // who closed the output does not want to read it
}

// happening is what all news have.
type happening struct {
	At    time.Time `json:"at"`
	Event string    `json:"event"`
}

func happened(event string) happening { return happening{time.Now(), event} }

// clock is the time as it is shown.
func (h happening) clock() string { return h.At.Format("15:04:05.000") }

// trialStarted is where everything is, and what to do with it.
type trialStarted struct {
	happening
	Kafka    string        `json:"kafka"`
	APNs     string        `json:"apns"`
	FCM      string        `json:"fcm"`
	FCMToken string        `json:"fcm_token"`
	Tenants  []trialTenant `json:"tenants"`
	Config   string        `json:"config"`
	embedded bool          // the broker
}

func (t *trial) introduce() {
	t.screen.show(trialStarted{
		happened("started"), t.kafka, t.apns.URL(), t.fcm.URL(), t.fcm.TokenURL(), t.tenants, t.dir.path(configName), t.broker != nil,
	})
}

func (s trialStarted) line() string {
	whose := "embedded"
	if !s.embedded {
		whose = "your own"
	}
	first, more := s.Tenants[0], ""
	if n := len(s.Tenants); n > 1 {
		more = fmt.Sprintf("\n         and %d more like it, up to %s", n-1, s.Tenants[n-1])
	}
	return fmt.Sprintf(`Kafka    %s, %s
APNs     %s, simulated
FCM      %s, simulated; access tokens from %s
tenant   %s: push certificate of %s, Firebase project %s%s

The daemon, in another terminal:
  ./pushd run --config %s
An event, in a third:
  echo '%s/device-1 {"provider":"apns","token":"aa11bb22cc33dd44","push_magic":"magic-1"}' | \
    kcat -P -b %s -t %s -K ' ' -X partitioner=murmur2_random

What the simulators accept and refuse comes below. Ctrl-C ends it.

`, s.Kafka, whose, s.APNs, s.FCM, s.FCMToken, first, first.topic(), first.project(), more, s.Config, first, s.Kafka, event.CheckinTopic)
}

// trialAccepted is a push that was accepted.
type trialAccepted struct {
	happening
	Provider string `json:"provider"`
	Topic    string `json:"topic"` // FCM: the project
	Token    string `json:"token"` // its beginning
	Push     int    `json:"push"`  // which one of the token's
}

func (t *trial) tellAccepted(provider string) func(string, simulator.Receipt, int) {
	return func(token string, r simulator.Receipt, n int) {
		t.screen.show(trialAccepted{happening{r.At, "accepted"}, provider, r.Topic, beginning(token), n})
	}
}

func (a trialAccepted) line() string {
	return fmt.Sprintf("%s  %-4s  accepted  %s  token %s  push %d\n", a.clock(), a.Provider, a.Topic, a.Token, a.Push)
}

// beginning is as much of a token as may be shown: enough to tell some apart, and never half of it.
func beginning(token string) string { return token[:min(8, len(token)/2)] + "…" }

// trialRefused is pushes that were answered otherwise since the last look.
type trialRefused struct {
	happening
	Provider string `json:"provider"`
	Answer   string `json:"answer"` // status and reason, or what was done to the stream
	Times    uint64 `json:"times"`
}

// tellRefusals shows each kind of refusal since the last call.
func (t *trial) tellRefusals() {
	account := t.account()
	for _, provider := range slices.Sorted(maps.Keys(account)) {
		s := account[provider]
		for _, answer := range slices.Sorted(maps.Keys(s.Refused)) {
			key := provider + answer
			if n := s.Refused[answer] - t.told[key]; n > 0 {
				t.told[key] += n
				t.screen.show(trialRefused{happened("refused"), provider, answer, n})
			}
		}
	}
}

func (r trialRefused) line() string {
	times := ""
	if r.Times > 1 {
		times = fmt.Sprintf(", %d times", r.Times)
	}
	return fmt.Sprintf("%s  %-4s  refused   %s%s\n", r.clock(), r.Provider, r.Answer, times)
}

// trialTurn is a fault of the script that begins or ends.
type trialTurn struct {
	happening
	Provider string  `json:"provider,omitempty"` // none: both
	Fault    string  `json:"fault"`
	Line     int     `json:"line"`              // in the script
	Seconds  float64 `json:"seconds,omitempty"` // how long it lasts; none: until the end
}

func (t *trial) tellTurn(turn simulator.Turn) {
	what := "fault_ends"
	if turn.Begins {
		what = "fault_begins"
	}
	f := turn.Fault
	t.screen.show(trialTurn{happening{turn.At, what}, f.Provider, f.String(), f.Line, f.For.Seconds()})
}

func (t trialTurn) line() string {
	provider, does, lasts := t.Provider, "ends", ""
	if provider == "" {
		provider = "both"
	}
	if t.Event == "fault_begins" {
		does = "begins"
		if t.Seconds > 0 {
			lasts = ", for " + time.Duration(t.Seconds*float64(time.Second)).String()
		}
	}
	return fmt.Sprintf("%s  %-4s  %-8s  %s%s (line %d)\n", t.clock(), provider, does, t.Fault, lasts, t.Line)
}

// trialScriptRead says that a script begins anew.
type trialScriptRead struct {
	happening
	File string `json:"file"`
}

func (s trialScriptRead) line() string {
	return fmt.Sprintf("%s  both  script    %s is read again, and begins now\n", s.clock(), s.File)
}

// trialScriptFaulty says why it does not.
type trialScriptFaulty struct {
	happening
	Error string `json:"error"`
}

func (s trialScriptFaulty) line() string {
	return fmt.Sprintf("%s  both  script    the one before goes on:\n  %s\n", s.clock(), strings.ReplaceAll(s.Error, "\n", "\n  "))
}

// trialScriptNone says that there is none.
type trialScriptNone struct{ happening }

func (s trialScriptNone) line() string {
	return fmt.Sprintf("%s  both  script    no --faults were given: nothing to read again\n", s.clock())
}

// trialSummary is how much there was of each.
type trialSummary struct {
	happening
	Providers map[string]simulated `json:"providers"`
}

// simulated is what a simulator's account says.
type simulated struct {
	Accepted   uint64            `json:"accepted"`
	Refused    map[string]uint64 `json:"refused"`     // by status and reason
	TurnedAway uint64            `json:"turned_away"` // connections
}

func (t *trial) account() map[string]simulated {
	all := map[string]simulated{
		providers.APNs: {t.apns.Account().Count(), t.apns.Account().Answers(), t.apns.Stats().TurnedAway},
		providers.FCM:  {t.fcm.Account().Count(), t.fcm.Account().Answers(), t.fcm.Stats().TurnedAway},
	}
	for _, s := range all {
		delete(s.Refused, "200")
	}
	return all
}

func (t *trial) sumUp() { t.screen.show(trialSummary{happened("summary"), t.account()}) }

func (s trialSummary) line() string {
	var b strings.Builder
	b.WriteString("\n")
	for _, provider := range slices.Sorted(maps.Keys(s.Providers)) {
		row := func(n uint64, what string) { fmt.Fprintf(&b, "%-4s  %6d %s\n", provider, n, what) }
		of := s.Providers[provider]
		row(of.Accepted, "accepted")
		for _, answer := range slices.Sorted(maps.Keys(of.Refused)) {
			row(of.Refused[answer], "refused: "+answer)
		}
		if of.TurnedAway > 0 {
			row(of.TurnedAway, "connections turned away")
		}
	}
	return b.String()
}
