package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"time"

	"github.com/google/pprof/profile"
)

// The parts of the load test. They are in one process, whose CPU time a profile shares out: a part's goroutines have its label,
// and so have those that they start.
const (
	thePublisher  = "publisher"
	theBroker     = "broker"     // where it is the embedded one
	theSimulators = "simulators" // and the promises that they keep
)

const partLabel = "part"

// as runs f as one of the parts. What f starts belongs to it too, however long it runs.
func as(part string, f func()) {
	pprof.Do(context.Background(), pprof.Labels(partLabel, part), func(context.Context) { f() })
}

// profiled is a profile of this process while it is taken.
type profiled struct {
	taken   bytes.Buffer
	running bool
}

// begin begins the profile. Where this process is profiled by somebody else, there is none.
func (p *profiled) begin() {
	p.running = pprof.StartCPUProfile(&p.taken) == nil
}

// end ends the profile and returns the CPU time of each part; what is nobody's, such as the collection of garbage, has no name.
// It is nil where there is none.
func (p *profiled) end() (map[string]time.Duration, error) {
	if !p.running {
		return nil, nil
	}
	pprof.StopCPUProfile()
	p.running = false
	parsed, err := profile.Parse(&p.taken)
	if err != nil {
		return nil, fmt.Errorf("read the profile of the load test: %w", err)
	}
	used := make(map[string]time.Duration)
	for _, sample := range parsed.Sample {
		part := ""
		if labels := sample.Label[partLabel]; len(labels) > 0 {
			part = labels[0]
		}
		used[part] += time.Duration(sample.Value[len(sample.Value)-1]) // the last one is the time
	}
	return used, nil
}
