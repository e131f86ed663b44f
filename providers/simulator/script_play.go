package simulator

import (
	"context"
	"slices"
	"time"
)

// Turn is a moment of a script: a fault begins, or ends.
type Turn struct {
	At     time.Time
	Fault  *Fault
	Begins bool
}

// Turns are the moments of a script that has been started, in their order. A fault that lasts until the end does not end.
func (s *Script) Turns() []Turn {
	started := s.started.Load()
	if started == nil {
		return nil
	}
	var turns []Turn
	for i := range s.faults {
		f := &s.faults[i]
		begins := started.Add(f.After)
		turns = append(turns, Turn{begins, f, true})
		if f.For > 0 {
			turns = append(turns, Turn{begins.Add(f.For), f, false})
		}
	}
	slices.SortStableFunc(turns, func(a, b Turn) int { return a.At.Compare(b.At) })
	return turns
}

// Play follows a script that has been started: as an outage begins it cuts the connections of its provider (a nil one has
// none), and it tells of every turn. It returns after the last, or when ctx ends.
func (s *Script) Play(ctx context.Context, apns *APNs, fcm *FCM, tell func(Turn)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, turn := range s.Turns() {
		timer.Reset(time.Until(turn.At))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if turn.Begins && turn.Fault.outage() {
			if apns != nil && turn.Fault.Provider != fcmName {
				apns.CutConnections()
			}
			if fcm != nil && turn.Fault.Provider != apnsName {
				fcm.CutConnections()
			}
		}
		tell(turn)
	}
}
