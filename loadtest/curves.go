package main

import (
	"math"

	"pushd/loadtest/plot"
)

// curves are a timeline to be plotted.
type curves struct {
	moments []Moment
	at      []float64
}

// curvesOf is nil where there are too few moments for a line.
func curvesOf(moments []Moment) *curves {
	if len(moments) < 2 {
		return nil
	}
	s := &curves{moments: moments}
	for _, m := range moments {
		s.at = append(s.at, float64(m.Second))
	}
	return s
}

func (s *curves) line(name string, of func(*Moment) float64) plot.Line {
	l := plot.Line{Name: name}
	for i := range s.moments {
		l.Y = append(l.Y, of(&s.moments[i]))
	}
	return l
}

func (s *curves) plot(title, unit string, lines ...plot.Line) *plot.Plot {
	return &plot.Plot{Title: title, Unit: unit, X: "second", At: s.at, Lines: lines}
}

func (s *curves) events() *plot.Plot {
	return s.plot("Events", "per second", s.line("intended", func(m *Moment) float64 { return m.Intended }), s.line("published", func(m *Moment) float64 { return m.Published }))
}

func (s *curves) pushes() *plot.Plot {
	return s.plot("Pushes accepted", "per second", s.line("all", func(m *Moment) float64 { return m.APNs + m.FCM }),
		s.line("APNs", func(m *Moment) float64 { return m.APNs }), s.line("FCM", func(m *Moment) float64 { return m.FCM }))
}

// latency has a gap where no event was due: there is no latency, and not one of 0.
func (s *curves) latency() *plot.Plot {
	line := func(name string, of func(*Moment) float64) plot.Line {
		return s.line(name, func(m *Moment) float64 {
			if m.Events == 0 {
				return math.NaN()
			}
			return of(m)
		})
	}
	p := s.plot("Latency, by when events were due", "ms",
		line("p50", func(m *Moment) float64 { return m.P50 }), line("p99", func(m *Moment) float64 { return m.P99 }), line("p99.9", func(m *Moment) float64 { return m.P999 }))
	p.Log = true
	return p
}

func (s *curves) waiting() *plot.Plot {
	return s.plot("Events waiting", "events", s.line("open: nothing came of them yet", func(m *Moment) float64 { return float64(m.Open) }),
		s.line("lag: not read yet", func(m *Moment) float64 { return m.Lag }), s.line("parked in the ledger", func(m *Moment) float64 { return m.Parked }))
}

func (s *curves) cpu() *plot.Plot {
	return s.plot("CPU", "cores", s.line("daemon", func(m *Moment) float64 { return m.Cores }),
		s.line("load test", func(m *Moment) float64 { return m.Self }), s.line("others", func(m *Moment) float64 { return m.Others }))
}

func (s *curves) memory() *plot.Plot {
	return s.plot("Memory of the daemon", "MB", s.line("resident", func(m *Moment) float64 { return m.RSSMB }))
}
