package dispatcher

import (
	"errors"
	"fmt"
	"time"

	"pushd/queue"
)

// Config is what an operator sets of the engine.
type Config struct {
	Merge       MergeConfig       `embed:"" prefix:"merge."`
	Dedupe      DedupeConfig      `embed:"" prefix:"dedupe."`
	Rates       RatesConfig       `embed:"" prefix:"rates."`
	Breaker     BreakerConfig     `embed:"" prefix:"breaker."`
	Guard       GuardConfig       `embed:"" prefix:"guard."`
	DeadLetters DeadLettersConfig `embed:"" prefix:"dead_letters."`
	Retry       RetryConfig       `embed:"" prefix:"retry."`
}

// MergeConfig says how events of one device become one wake, and how long a wake is tried.
type MergeConfig struct {
	Interval   time.Duration   `name:"interval" help:"How long a device rests after an accepted push: events that come meanwhile cause one trailing wake. 0s to 24h." default:"30s"`
	Until      Until           `name:"until" help:"What ends the need for a push: 'interval' (the rest is over) or 'checkin' (the device checked in; needs check-in events)." enum:"interval,checkin" default:"interval"`
	Rewake     []time.Duration `name:"rewake" help:"With until=checkin: waits after which a device that did not check in is woken again." default:"15m,1h,4h,24h"`
	Expires    time.Duration   `name:"expires" help:"How long a provider may store a push whose event names no expiry. 1m to 672h." default:"168h"`
	GiveUp     time.Duration   `name:"give_up" help:"How long a wake without an expiry is tried before it is given up with 'expired' feedback." default:"24h"`
	HoldProbe  time.Duration   `name:"hold_probe" help:"How often one push tries a refused credential again." default:"5m"`
	MaxWaiting int             `name:"max_waiting" help:"Wakes that may wait in the ledger and in memory, whole process (about 1200 bytes each). Where it is full, wakes keep their offsets and their partition pauses." default:"1000000"`
}

// Until says what ends the need for another push.
type Until string

const (
	UntilInterval Until = "interval"
	UntilCheckin  Until = "checkin"
)

// DedupeConfig bounds the memory of event ids.
type DedupeConfig struct {
	Window     time.Duration `name:"window" help:"How long an event id is remembered: the same id again is dropped. 1s to 24h." default:"10m"`
	MaxEntries int           `name:"max_entries" help:"Event ids remembered, whole process (about 20 bytes each). Where it is full the oldest go early: that can cost an extra push, never a wake." default:"20000000"`
}

// RatesConfig limits how fast pushes are made. A rate of 0 means no limit.
type RatesConfig struct {
	Total         float64 `name:"total" help:"Pushes per second over all providers; 0 is no limit." default:"0"`
	APNs          float64 `name:"apns" help:"Pushes per second to APNs; 0 is no limit." default:"0"`
	FCM           float64 `name:"fcm" help:"Pushes per second to FCM over all projects; 0 is no limit." default:"0"`
	PerCredential float64 `name:"per_credential" help:"Pushes per second of one APNs credential unless its tenant file says otherwise; 0 is no limit." default:"0"`
	PerProject    float64 `name:"per_project" help:"Pushes per second of one FCM project unless its tenant file says otherwise; FCM's quota is 10000. 0 is no limit." default:"10000"`
	Share         Share   `name:"share" help:"Whose the limits are: the 'group', of which each process has a part by the partitions that it owns, or each 'process'. in_flight is each process's in any case." enum:"group,process" default:"group"`
	InFlight      int     `name:"in_flight" help:"Pushes under way per credential, unless its tenant file says otherwise." default:"1000"`
}

// Share says whose the limits of rates are.
type Share string

const (
	OfGroup   Share = "group"
	OfProcess Share = "process"
)

// BreakerConfig says when a provider is taken for down, and how it is tried.
type BreakerConfig struct {
	Count int           `name:"count" help:"Failures (5xx, lost and refused connections, time-outs) within about two seconds after which a provider can be taken for down; 0 switches the breaker off." default:"50"`
	Ratio float64       `name:"ratio" help:"Part of the answers that must be failures for that, and part of the credentials answered of which that is so: 1 is 100 percent. Above 0, to 1." default:"0.9"`
	Probe time.Duration `name:"probe" help:"How often one push tries a provider that is down. 100ms to 1h." default:"5s"`
	Ramp  time.Duration `name:"ramp" help:"How long the rate goes up to what it was when the provider answers again; Google asks for a minute. If a backlog is left then, it doubles every quarter of this. 0s to 1h." default:"1m"`
}

// GuardConfig says when dead tokens of a credential are not believed.
type GuardConfig struct {
	Count    int           `name:"count" help:"Dead tokens among the newest count / ratio answers of one credential at which its guard trips: no dead token of it is reported until they become few, its credential is replaced or an operator releases it. 0 switches the guard off." default:"50"`
	Ratio    float64       `name:"ratio" help:"Part of those answers that the count is: with 50 and 0.5, 50 dead tokens of 100 answers. 1 is 100 percent. Above 0, to 1." default:"0.5"`
	Settle   time.Duration `name:"settle" help:"How long a dead token waits for what the provider says of others before it is reported. 10ms to 3s." default:"2s"`
	Patience time.Duration `name:"patience" help:"How long it waits where too little of its credential was accepted lately to tell, but fewer than count are dead. 1s to 24h." default:"10m"`
}

// DeadLettersConfig says when so many records are bad that reading on would only empty the topic into the dead letters.
type DeadLettersConfig struct {
	StopCount int     `name:"stop_count" help:"Bad records among the newest stop_count / stop_ratio of one partition at which it is stopped until an operator has looked; 0 never stops." default:"1000"`
	StopRatio float64 `name:"stop_ratio" help:"Part of those records that the count is. Above 0, to 1." default:"0.95"`
}

// RetryConfig says what long waits outlive.
type RetryConfig struct {
	Durability Durability `name:"durability" help:"What a wake that waits for long outlives: 'local', this process; 'replicated', this machine and its disk too. Replicated wakes are in retry.topic." enum:"local,replicated" default:"replicated"`
	Topic      string     `name:"topic" help:"Topic of parked wakes, where durability is replicated. Compacted, with as many partitions as kafka.topic. It holds tokens." default:"pushd.parked"`
}

// Durability is what a parked wake outlives.
type Durability string

const (
	Local      Durability = "local"
	Replicated Durability = "replicated"
)

// DefaultConfig is what the struct tags say.
func DefaultConfig() Config {
	return Config{
		Merge: MergeConfig{
			Interval:   30 * time.Second,
			Until:      UntilInterval,
			Rewake:     []time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour, 24 * time.Hour},
			Expires:    168 * time.Hour,
			GiveUp:     24 * time.Hour,
			HoldProbe:  5 * time.Minute,
			MaxWaiting: 1_000_000,
		},
		Dedupe: DedupeConfig{Window: 10 * time.Minute, MaxEntries: 20_000_000},
		Rates:  RatesConfig{PerProject: 10_000, Share: OfGroup, InFlight: 1000},

		Breaker:     BreakerConfig{Count: 50, Ratio: 0.9, Probe: 5 * time.Second, Ramp: time.Minute},
		Guard:       GuardConfig{Count: 50, Ratio: 0.5, Settle: 2 * time.Second, Patience: 10 * time.Minute},
		DeadLetters: DeadLettersConfig{StopCount: 1000, StopRatio: 0.95},
		Retry:       RetryConfig{Durability: Replicated, Topic: "pushd.parked"},
	}
}

// Validate returns all faults, each beginning with the key it is about.
func (c Config) Validate() error {
	return errors.Join(c.Merge.validate(), c.Dedupe.validate(), c.Rates.validate(), c.Breaker.validate(), c.Guard.validate(), c.DeadLetters.validate(), c.Retry.validate())
}

func (c MergeConfig) validate() error {
	var faults []error
	faults = append(faults,
		between("merge.interval", c.Interval, 0, 24*time.Hour),
		between("merge.expires", c.Expires, time.Minute, 672*time.Hour),
		between("merge.give_up", c.GiveUp, time.Minute, 672*time.Hour),
		between("merge.hold_probe", c.HoldProbe, time.Second, 24*time.Hour),
	)
	if c.Until != UntilInterval && c.Until != UntilCheckin {
		faults = append(faults, fmt.Errorf("merge.until: %q is neither interval nor checkin", c.Until))
	}
	if c.MaxWaiting < 1 {
		faults = append(faults, fmt.Errorf("merge.max_waiting: %d is below 1", c.MaxWaiting))
	}
	for i, wait := range c.Rewake {
		if wait <= 0 || i > 0 && wait <= c.Rewake[i-1] {
			faults = append(faults, fmt.Errorf("merge.rewake: %v is not longer than the wait before it", wait))
		}
	}
	return errors.Join(faults...)
}

func (c DedupeConfig) validate() error {
	var faults []error
	faults = append(faults, between("dedupe.window", c.Window, time.Second, 24*time.Hour))
	if c.MaxEntries < 1000 {
		faults = append(faults, fmt.Errorf("dedupe.max_entries: %d is below 1000", c.MaxEntries))
	}
	return errors.Join(faults...)
}

func (c RatesConfig) validate() error {
	var faults []error
	if c.Share != OfGroup && c.Share != OfProcess {
		faults = append(faults, fmt.Errorf("rates.share: %q is neither group nor process", c.Share))
	}
	for _, r := range []struct {
		key   string
		value float64
	}{{"total", c.Total}, {"apns", c.APNs}, {"fcm", c.FCM}, {"per_credential", c.PerCredential}, {"per_project", c.PerProject}} {
		if r.value < 0 {
			faults = append(faults, fmt.Errorf("rates.%s: %g pushes per second is below 0; 0 means no limit", r.key, r.value))
		}
	}
	if c.InFlight < 1 {
		faults = append(faults, fmt.Errorf("rates.in_flight: %d is below 1", c.InFlight))
	}
	return errors.Join(faults...)
}

func (c BreakerConfig) validate() error {
	return errors.Join(
		counted("breaker.count", c.Count), part("breaker.ratio", c.Ratio),
		between("breaker.probe", c.Probe, 100*time.Millisecond, time.Hour),
		between("breaker.ramp", c.Ramp, 0, time.Hour),
	)
}

func (c GuardConfig) validate() error {
	return errors.Join(
		counted("guard.count", c.Count), part("guard.ratio", c.Ratio),
		between("guard.settle", c.Settle, 10*time.Millisecond, parkAfter),
		between("guard.patience", c.Patience, time.Second, 24*time.Hour),
	)
}

func (c DeadLettersConfig) validate() error {
	return errors.Join(counted("dead_letters.stop_count", c.StopCount), part("dead_letters.stop_ratio", c.StopRatio))
}

func counted(key string, n int) error {
	if n < 0 {
		return fmt.Errorf("%s: %d is below 0; 0 switches it off", key, n)
	}
	return nil
}

func part(key string, p float64) error {
	if !(p > 0 && p <= 1) {
		return fmt.Errorf("%s: %g is not above 0 and at most 1", key, p)
	}
	return nil
}

func between(key string, d, low, high time.Duration) error {
	if d < low || d > high {
		return fmt.Errorf("%s: %v is not between %v and %v", key, d, low, high)
	}
	return nil
}

func (c RetryConfig) validate() error {
	var faults []error
	if c.Durability != Local && c.Durability != Replicated {
		faults = append(faults, fmt.Errorf("retry.durability: %q is neither local nor replicated", c.Durability))
	}
	if err := queue.CheckTopic(c.Topic); err != nil {
		faults = append(faults, fmt.Errorf("retry.topic: %w", err))
	}
	return errors.Join(faults...)
}
