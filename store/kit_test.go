package store

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
)

// openInChild names the directory that a child process of the tests is to open.
const openInChild = "PUSHD_TEST_OPEN_LEDGER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(openInChild); dir != "" {
		cfg := DefaultConfig()
		cfg.Dir = dir
		l, err := Open(cfg, nil, quiet)
		if err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(3)
		}
		l.Close()
		os.Exit(0)
	}
	// Where an opening fails late, Pebble leaves this one behind. A ledger that was not closed leaves others too.
	goleak.VerifyTestMain(descriptors.Checked(m), goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2.(*ConcurrencyLimitScheduler).periodicGranter"))
}

var (
	quiet = slog.New(slog.DiscardHandler)
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func memConfig() Config {
	cfg := DefaultConfig()
	cfg.Dir, cfg.FS = "state/ledger", vfs.NewMem()
	return cfg
}

// open opens a ledger that is closed with the test.
func open(t testing.TB, cfg Config) *Ledger {
	t.Helper()
	l, err := Open(cfg, prometheus.NewRegistry(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// reopen closes a ledger and opens it again, as a restart does.
func reopen(t testing.TB, l *Ledger) *Ledger {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, l.cfg)
}

func write(t testing.TB, l *Ledger, flushes ...Flush) {
	t.Helper()
	if err := l.Write(flushes); err != nil {
		t.Fatal(err)
	}
}

func partition(t testing.TB, l *Ledger, p int32) *Restored {
	t.Helper()
	r, err := l.Partition(p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// counted is a counter's value.
func counted(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// accepted is an outcome.
func accepted(d Device, e EventID, at time.Time) Outcome {
	return Outcome{Device: d, Event: e, Kind: Accepted, At: at}
}

// keys are all keys of the ledger with a prefix.
func keys(t testing.TB, l *Ledger, prefix byte) [][]byte {
	t.Helper()
	it, err := l.iterate([]byte{prefix}, []byte{prefix + 1})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var found [][]byte
	for ok := it.First(); ok; ok = it.Next() {
		found = append(found, append([]byte(nil), it.Key()...))
	}
	if err := it.Error(); err != nil {
		t.Fatal(err)
	}
	return found
}

// wholeForms is the environment variable with which tests do all of what they otherwise do a part of (make crash).
const wholeForms = "PUSHD_TEST_WHOLE"

// form is how much of something a test does: in the whole form, or a part of it; with -short less, as the race detector takes
// ten times as long.
func form(short, usual, whole int) int {
	switch {
	case os.Getenv(wholeForms) != "":
		return whole
	case testing.Short():
		return short
	}
	return usual
}
