package main

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

type called struct {
	code           int
	stdout, stderr string
}

func call(args ...string) called {
	var stdout, stderr strings.Builder
	code := execute(args, &stdout, &stderr)
	return called{code, stdout.String(), stderr.String()}
}

func TestWhatIsCalledWronglyStartsNothing(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"kil":                               `there is no ordeal "kil"`,
		"kill --rate=1":                     "--rate",
		"--minutes=0":                       "--minutes",
		"--embedded --broker=127.0.0.1:9":   "give one",
		"--no-such-flag":                    "no-such-flag",
		"rebalance --rate=1e9 --minutes=-1": "--minutes",
	} {
		if got := call(strings.Fields(args)...); got.code != exitUsage || !strings.Contains(got.stderr, says) {
			t.Errorf("%s: exit code %d, %q does not say %q", args, got.code, got.stderr, says)
		}
	}
}

func TestTheOrdealsAreListed(t *testing.T) {
	t.Parallel()
	got := call("--list")
	for _, o := range ordeals {
		if !strings.Contains(got.stdout, o.name+" ") {
			t.Errorf("%s is not listed", o.name)
		}
	}
}

func TestAnOrdealThatNeedsAnotherBrokerIsLeftOut(t *testing.T) {
	t.Parallel()
	got := call("--embedded", "broker")
	if got.code != exitPassed || !strings.Contains(got.stdout, "left out, as they need an Apache Kafka of their own: broker") {
		t.Errorf("%+v", got)
	}
}

// A crash is judged from outside: what was accepted in the time of a flush before it may come twice after it, and nothing else.
func TestACrashMayCostWhatTheLedgerDidNotHave(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	crashes := []crash{{at: at(1000), again: at(1010), underWay: 1}, {at: at(3000), again: at(3010), underWay: 1, flush: .1}}
	accepted := moments{at(500), at(779), at(781), at(999), at(1005), at(2500), at(2581), at(2999)}
	for name, c := range map[string]struct {
		extra []int // when
		over  int
		bound int
	}{
		"nothing":         {nil, 0, 5},
		"all that may be": {[]int{1200, 1300, 1400, 3100, 3200}, 0, 5},
		"one too many":    {[]int{1200, 1300, 1400, 1500}, 1, 5},
		"what is made again after the next crash": {[]int{3100, 3200, 3300, 3400, 3500}, 0, 5},
	} {
		var extra moments
		for _, ms := range c.extra {
			extra = append(extra, at(ms))
		}
		costs := costsOf(crashes, accepted, extra, at(9000))
		over, bound := 0, 0
		for _, cost := range costs {
			bound += cost.bound
			if cost.over {
				over++
			}
		}
		if over != c.over || bound != c.bound {
			t.Errorf("%s: %d crashes cost too much, %d may be made twice; want %d, %d", name, over, bound, c.over, c.bound)
		}
	}
}

// A daemon that is killed as it begins to make pushes again, and the next before it is ready, leave the rest to the third.
func TestWhatACrashCostMayBeMadeAgainAfterLaterCrashes(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	crashes := []crash{
		{at: at(1000), again: at(1010), pushes: 6}, {at: at(3000), again: at(3010), pushes: 1}, {at: at(4000), again: at(4010), early: true},
	}
	accepted := moments{at(910), at(920), at(930), at(940), at(950), at(960), at(2990)}
	for extras, over := range map[int]bool{5: false, 6: false, 7: true} {
		var extra moments
		for i := range extras {
			extra = append(extra, at(5000+i))
		}
		costs := costsOf(crashes, accepted, extra, at(9000))
		if last := costs[2]; last.extra != extras || last.over != over {
			t.Errorf("%d pushes too many: %+v; want over %v", extras, last, over)
		}
	}
}

func TestAReportFailsByOneCheck(t *testing.T) {
	t.Parallel()
	r := &Report{Lost: 3, LostAllowed: 3}
	r.check("few", 1, 2)
	r.least("many", 5, 5)
	if r.conclude(); !r.Passed {
		t.Errorf("%+v", r.Checks)
	}
	r.Lost = 4
	if r.conclude(); r.Passed {
		t.Errorf("a lost event passes: %+v", r.Checks)
	}
	var text strings.Builder
	r.table(&text)
	if !strings.HasPrefix(strings.TrimSpace(text.String()), "FAILED") {
		t.Errorf("%s", text.String())
	}
}
