package dispatcher

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The simulation drives the real engine (shards, gates, lanes, breakers, guards, windows: whatever is a state machine without
// I/O) through histories that a seed makes, with models around it of what it depends on:
//
//	sim_plan       what is done to it: events, and faults of every kind
//	sim_item       how each of them is done
//	sim_world      one history, its end, and how it comes to rest
//	sim_agenda     time, and what happens when
//	sim_process    a process of pushd: the real engine, which does its steps as it is let; and its machine
//	sim_flush      models of what surrounds it: the flusher,
//	sim_member     the consumer of partitions, a member of the group,
//	sim_publisher  and the publisher
//	sim_disk       the ledger, with what is written and not synced yet
//	sim_kafka      the topic of events, and the group with its generations, and zombies
//	sim_parked     the topic of parked wakes, and how it is read after an assignment
//	sim_provider   APNs and FCM, and devices
//	sim_referee    who knows everything, and says when a promise is broken
//	sim_extra      when a push is one too many
//	sim_sometimes  rare states that have to be reached, or nothing is proven
//	sim_shrink     how a violation is made small and shown
//
// `go test` plays a few hundred seeds. `make simulate SEEDS=n` plays as many as are wanted, and then plays them with faults put
// into the engine's code (folder simulation/mutants), of which each has to be found.

var (
	simSeeds  = flag.Uint64("simulate.seeds", 0, "play the seeds below this one, on all cores, and report (make simulate)")
	simSeed   = flag.Uint64("simulate.seed", 0, "with -simulate.show: the seed")
	simShow   = flag.Bool("simulate.show", false, "show the history of one seed")
	simMutant = flag.Bool("simulate.mutant", false, "stop at the first violation, and show only its first line")
)

func TestSimulation(t *testing.T) {
	t.Parallel()
	for part := range uint64(4) {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < 200; seed += 4 {
				if s := play(newPlan(seed), false); s.fault != "" {
					t.Fatal(violation(seed, s.fault))
				}
			}
		})
	}
}

// TestASeedAlwaysMakesTheSameHistory: a violation can be seen again by its seed, and shrunk.
func TestASeedAlwaysMakesTheSameHistory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		one, other := play(newPlan(seed), true).trace, play(newPlan(seed), true).trace
		for i := range one {
			if i >= len(other) || one[i] != other[i] {
				t.Fatalf("seed %d: line %d is %q, and was %q", seed, i, other[min(i, len(other)-1)], one[i])
			}
		}
	}
}

// TestAHistoryIsShown: the first lines say what is played, the last what came of it.
func TestAHistoryIsShown(t *testing.T) {
	t.Parallel()
	history, broken := shown(7)
	lines := strings.Split(history, "\n")
	if broken || !strings.HasPrefix(lines[0], "seed 7, ") || !strings.HasSuffix(lines[2], "  what happens") || !strings.HasSuffix(lines[3], "  m0.1 starts") ||
		!strings.HasPrefix(lines[len(lines)-1], "seed 7: no promise is broken; ") {
		t.Errorf("broken: %v\n%s", broken, history)
	}
}

// TestSimulate is what `make simulate` runs, in a process of its own. Lines that begin with "simulate:" are for it.
func TestSimulate(t *testing.T) {
	if *simShow {
		history, broken := shown(*simSeed)
		fmt.Println(history)
		if broken {
			t.FailNow()
		}
		return
	}
	if *simSeeds == 0 {
		t.Skip("see -simulate.seeds")
	}
	var next, played, violations atomic.Uint64
	var mu sync.Mutex // guards sometimes, pushes, and the output
	var sometimes [rares]bool
	var pushes tallied
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1) - 1; seed < *simSeeds; seed = next.Add(1) - 1 {
				s := play(newPlan(seed), false)
				n := played.Add(1)
				mu.Lock()
				for i, was := range s.sometimes {
					sometimes[i] = sometimes[i] || was
				}
				for why, n := range s.pushes {
					pushes[why] += n
				}
				if n%max(1, *simSeeds/10) == 0 && !*simMutant {
					fmt.Printf("simulate: played %d\n", n)
				}
				if s.fault != "" {
					v := violations.Add(1)
					switch {
					case *simMutant:
						fmt.Printf("simulate: seed %d: %s\n", seed, s.fault)
						next.Store(*simSeeds)
					case v <= 3:
						fmt.Println(violation(seed, s.fault))
					}
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	reached := 0
	for i, was := range sometimes {
		if was {
			reached++
		} else if !*simMutant {
			fmt.Printf("simulate: never reached: %s\n", rareNames[i])
		}
	}
	if !*simMutant {
		fmt.Printf("simulate: %s\n", pushes)
	}
	fmt.Fprintf(os.Stdout, "simulate: seeds %d violations %d reached %d of %d\n", played.Load(), violations.Load(), reached, rares)
	if violations.Load() > 0 {
		t.FailNow()
	}
}

// TestTheSimulatedClockHasTwoHands: a jump of the wall clock is seen by who reads the time of day, and by nobody who compares
// two times of the process.
func TestTheSimulatedClockHasTwoHands(t *testing.T) {
	t.Parallel()
	before, after := clockOf(time.Minute, 0), clockOf(2*time.Minute, -time.Hour)
	if passed := after.Sub(before); passed != time.Minute {
		t.Errorf("%v have passed", passed)
	}
	if !after.After(before) || !after.Round(0).Before(before.Round(0)) {
		t.Errorf("%v and %v", before, after)
	}
	if want := epoch.Add(2*time.Minute - time.Hour); !after.Equal(want) || after.UnixNano() != want.UnixNano() {
		t.Errorf("the time of day is %v, want %v", after, want)
	}
	if sum := after.Add(time.Second).Sub(before); sum != time.Minute+time.Second {
		t.Errorf("the sum of a time and a while loses its monotonic hand: %v", sum)
	}
}
