package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

func TestWhatWasWrittenIsThereAfterARestart(t *testing.T) {
	t.Parallel()
	l := open(t, memConfig())
	died := epoch.Add(-50 * 24 * time.Hour).Add(123 * time.Millisecond)
	write(t, l,
		Flush{Partition: 1, Watermark: 41, Outcomes: []Outcome{
			accepted(10, 100, epoch), {Device: 11, Event: 101, Kind: Parked, At: epoch}, {Device: 11, Kind: Expired, At: epoch},
		}, Put: []Waiting{{11, []byte("eleven")}, {12, []byte{}}}, Tombstones: []Tombstone{{7, died}}},
		Flush{Partition: 2, Watermark: -1, Put: []Waiting{{11, []byte("of another partition")}}},
	)
	write(t, l,
		Flush{Partition: 1, Watermark: 42, Put: []Waiting{{11, []byte("changed")}}, Delete: []Device{12, 13}},
		Flush{Partition: 2, Watermark: -1},
	)
	l = reopen(t, l)

	one, two, three := partition(t, l, 1), partition(t, l, 2), partition(t, l, 3)
	later := epoch.Add(time.Second)
	for _, e := range []eventOf{{10, 100}, {11, 101}} {
		if !one.Index.Seen(e.d, e.e, later) || two.Index.Seen(e.d, e.e, later) {
			t.Errorf("event %v is not seen, or in the wrong partition", e)
		}
	}
	if at, rests := one.Index.RestedAt(10, later); !rests || !at.Equal(epoch) {
		t.Errorf("device 10 rests since %v, %v", at, rests)
	}
	if _, rests := one.Index.RestedAt(11, later); rests {
		t.Error("a device rests that had no push")
	}
	if since, dead := one.Index.DeadSince(7); !dead || !since.Equal(died) {
		t.Errorf("token 7 is dead since %v, %v", since, dead)
	}
	if len(one.Waiting) != 1 || one.Waiting[0].Device != 11 || string(one.Waiting[0].Data) != "changed" {
		t.Errorf("partition 1 has waiting %v", one.Waiting)
	}
	if len(two.Waiting) != 1 || string(two.Waiting[0].Data) != "of another partition" {
		t.Errorf("partition 2 has waiting %v", two.Waiting)
	}
	if one.Watermark != 42 || two.Watermark != -1 || three.Watermark != -1 || three.Waiting != nil {
		t.Errorf("watermarks %d, %d, %d", one.Watermark, two.Watermark, three.Watermark)
	}
	if got, err := l.Partitions(); err != nil || !slices.Equal(got, []int32{1, 2}) {
		t.Errorf("partitions with waiting wakes: %v, %v", got, err)
	}
	if again := partition(t, l, 1); again.Index == one.Index || !again.Index.Seen(10, 100, later) {
		t.Error("restored twice, the index is shared, or empty")
	}
}

func TestInOneFlushAWakeIsDeletedBeforeItIsPut(t *testing.T) {
	t.Parallel()
	l := open(t, memConfig())
	write(t, l, Flush{Put: []Waiting{{1, []byte("old")}}, Watermark: -1})
	write(t, l, Flush{Put: []Waiting{{1, []byte("new")}}, Delete: []Device{1}, Watermark: -1})
	if w := partition(t, l, 0).Waiting; len(w) != 1 || string(w[0].Data) != "new" {
		t.Errorf("waiting: %v", w)
	}
}

func TestAPauseBetweenTwoProcessesDoesNotAgeEventIDsButRests(t *testing.T) {
	t.Parallel()
	cfg := memConfig()
	l := open(t, cfg)
	write(t, l, Flush{Watermark: -1, Outcomes: []Outcome{accepted(1, 1, epoch)}})
	write(t, l, Flush{Watermark: -1, Outcomes: []Outcome{accepted(2, 2, epoch.Add(5*time.Minute))}})
	l = reopen(t, l)
	now := epoch.Add(9 * time.Hour)
	x := partition(t, l, 0).Index
	if !x.Seen(1, 1, now) || !x.Seen(2, 2, now) {
		t.Error("an event settled just before the pause is forgotten")
	}
	if _, rests := x.RestedAt(2, now); rests {
		t.Error("a device still rests after hours")
	}
	if err := l.Expire(now); err != nil {
		t.Fatal(err)
	}
	// A restore later in the same process, after it has written and expired, counts the pause out too.
	write(t, l, Flush{Partition: 9, Watermark: -1, Outcomes: []Outcome{accepted(9, 9, now.Add(time.Minute))}})
	if err := l.Expire(now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	x = partition(t, l, 0).Index
	now = now.Add(time.Minute)
	if !x.Seen(1, 1, now) || !x.Seen(2, 2, now) {
		t.Error("an event settled just before the pause is forgotten by the second restore")
	}
	now = now.Add(4*time.Minute + 2*cfg.Bucket())
	if x.Seen(1, 1, now) || !x.Seen(2, 2, now) {
		t.Error("after the window of uptime the older event is to be forgotten, and it alone")
	}
	if x = partition(t, l, 9).Index; !x.Seen(9, 9, now) || x.Seen(2, 2, now) {
		t.Error("what this process wrote is not restored in the same process")
	}
}

func TestExpireKeepsWhatIsYoungAndDropsOldBucketsWhole(t *testing.T) {
	t.Parallel()
	cfg := memConfig()
	cfg.HistoryKeep, cfg.Tombstones = time.Hour, 24*time.Hour
	l := open(t, cfg)
	for m := range 300 {
		write(t, l, Flush{Watermark: -1, Outcomes: []Outcome{accepted(1, EventID(m+1), epoch.Add(time.Duration(m)*time.Minute))}})
	}
	write(t, l, Flush{Watermark: 1, Put: []Waiting{{1, nil}}, Tombstones: []Tombstone{{1, epoch}}})
	last := epoch.Add(299 * time.Minute)

	l = reopen(t, l)
	if err := l.Expire(last.Add(1000 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := len(keys(t, l, journalPrefix)); n != 300 {
		t.Fatalf("before the first write %d of 300 records are there", n)
	}
	write(t, l, Flush{Watermark: -1, Outcomes: []Outcome{accepted(1, 1000, last)}})
	if err := l.Expire(last.Add(1000 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	journal := keys(t, l, journalPrefix)
	if len(journal) != 62 { // the newest two of one minute, and the hour before them
		t.Fatalf("%d records are left", len(journal))
	}
	if minute, _, _, _ := decodeJournalKey(journal[0]); minute != minuteOf(last.Add(-time.Hour)) {
		t.Errorf("the oldest record left is of %d minutes before the newest", minuteOf(last)-minute)
	}
	if len(keys(t, l, waitingPrefix)) != 1 || len(keys(t, l, tombstonePrefix)) != 1 || len(keys(t, l, progressPrefix)) != 1 {
		t.Error("something expired that is not of the journal")
	}
	day := last.Add(49 * time.Hour)
	write(t, l, Flush{Watermark: -1, Outcomes: []Outcome{accepted(1, 1001, day)}, Tombstones: []Tombstone{{2, epoch}}})
	if err := l.Expire(day); err != nil {
		t.Fatal(err)
	}
	if left := keys(t, l, tombstonePrefix); len(left) != 1 || left[0][len(left[0])-1] != 2 {
		t.Errorf("dead tokens left: %x", left)
	}
	if len(keys(t, l, journalPrefix)) != 1 || len(keys(t, l, waitingPrefix)) != 1 {
		t.Error("the journal was not dropped, or a waiting wake was")
	}
}

func TestAHistoryHasTheOutcomesOfTheDeviceInOrder(t *testing.T) {
	t.Parallel()
	l := open(t, memConfig())
	random := rand.New(rand.NewPCG(1, 2))
	const device, devices = 17, 40
	var want []Outcome
	since, until := epoch.Add(10*time.Minute), epoch.Add(40*time.Minute)
	for m := range 50 {
		flushes := make([]Flush, 3)
		for p := range flushes {
			flushes[p] = Flush{Partition: int32(p), Watermark: -1}
			for i := range 30 {
				o := Outcome{
					Device: Device(random.IntN(devices)*3 + p), Event: EventID(random.Uint64()), Kind: Kind(1 + random.IntN(int(kinds)-1)),
					At: time.UnixMilli(epoch.Add(time.Duration(m)*time.Minute + time.Duration(i)*time.Second).UnixMilli()),
				}
				flushes[p].Outcomes = append(flushes[p].Outcomes, o)
				if o.Device == device && !o.At.Before(since) && !o.At.After(until) {
					want = append(want, o)
				}
			}
		}
		write(t, l, flushes...)
	}
	got, err := l.History(device, since, until)
	if err != nil || len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("history: %v, %v; want %v", got, err, want)
	}
	if got, err := l.History(1000, since, until); err != nil || len(got) != 0 {
		t.Errorf("a device without events has the history %v, %v", got, err)
	}
}

func TestRecordsAreNeverWrittenOver(t *testing.T) {
	t.Parallel()
	l := open(t, memConfig())
	for i := range 5 {
		write(t, l, Flush{Watermark: -1, Outcomes: []Outcome{accepted(1, EventID(i+1), epoch)}})
		l = reopen(t, l)
	}
	if n := len(keys(t, l, journalPrefix)); n != 5 {
		t.Errorf("%d of 5 records of one minute and partition are there", n)
	}
}

func TestADamagedJournalRecordIsCountedAndPassedOver(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := memConfig()
	l, err := Open(cfg, nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 3 {
		write(t, l, Flush{Partition: 4, Watermark: -1, Outcomes: []Outcome{accepted(1, EventID(i+1), epoch)}})
	}
	value := encoded([]Outcome{accepted(1, 2, epoch)})
	value[20] ^= 4
	if err := l.db.Set(keys(t, l, journalPrefix)[1], value, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	x := partition(t, l, 4).Index
	if !x.Seen(1, 1, epoch) || x.Seen(1, 2, epoch) || !x.Seen(1, 3, epoch) {
		t.Error("the records around the damaged one are not there, or it is")
	}
	if n := counted(t, l.metrics.corrupt); n != 1 || !strings.Contains(log.String(), "partition=4 sequence=2") {
		t.Errorf("counted %v; log: %s", n, log.String())
	}
	if history, err := l.History(1, epoch, epoch); err != nil || len(history) != 2 {
		t.Errorf("history: %v, %v", history, err)
	}
}

func TestADamagedWaitingWakeIsNeverDropped(t *testing.T) {
	t.Parallel()
	l := open(t, memConfig())
	write(t, l, Flush{Partition: 4, Watermark: -1, Put: []Waiting{{0xabc, []byte("the wake")}}})
	key := keys(t, l, waitingPrefix)[0]
	for name, damage := range map[string]func([]byte) []byte{
		"a byte":  func(v []byte) []byte { v[len(v)-1] ^= 1; return v },
		"cut off": func(v []byte) []byte { return v[:3] },
		"version": func(v []byte) []byte { v[4] = 9; return v },
	} {
		good := make([]byte, sealSize+3)
		seal(good)
		if err := l.db.Set(key, damage(good), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		_, err := l.Partition(4)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%x", key)) || !strings.Contains(err.Error(), l.cfg.Dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALedgerIsUsedByManyAtOnceAndClosesUnderThem(t *testing.T) {
	t.Parallel()
	cfg := memConfig()
	registry := prometheus.NewRegistry()
	l, err := Open(cfg, registry, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for u := range 6 {
		users.Go(func() {
			for i := 0; ; i++ {
				at := epoch.Add(time.Duration(i) * 10 * time.Millisecond)
				err := l.Write([]Flush{{Partition: int32(u), Watermark: int64(i), Outcomes: []Outcome{accepted(Device(u), EventID(i+1), at)}}})
				if err == nil {
					err = l.Expire(at)
				}
				if err == nil {
					_, err = l.History(Device(u), at, at)
				}
				if err == nil && i%10 == 0 {
					var r *Restored
					if r, err = l.Partition(int32(u)); err == nil && !r.Index.Seen(Device(u), EventID(i+1), at) {
						t.Errorf("user %d does not find what it wrote", u)
					}
				}
				if err != nil {
					if !errors.Is(err, errClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for range 30 {
		if _, err := registry.Gather(); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	users.Wait()
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("%d metrics are left in the registry, %v", len(families), err)
	}
}

func TestMetricsCountWhatWasWritten(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	l, err := Open(memConfig(), registry, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x := partition(t, l, 0).Index
	x.See(1, 1, epoch)
	x.See(1, 2, epoch)
	x.Rest(1, epoch)
	write(t, l, Flush{Watermark: -1, Outcomes: []Outcome{accepted(1, 1, epoch), {1, 2, Merged, epoch}, {1, 3, Merged, epoch}, {1, 4, 200, epoch}}})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, label := range m.Label {
				name += "/" + label.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for name, want := range map[string]float64{
		"pushd_ledger_outcomes_total/accepted": 1, "pushd_ledger_outcomes_total/merged": 2, "pushd_ledger_outcomes_total/noted": 0,
		"pushd_ledger_flush_duration_seconds": 1, "pushd_dedupe_entries": 2, "pushd_known_devices": 1,
		"pushd_dedupe_evicted_total": 0, "pushd_journal_corrupt_records_total": 0, "pushd_pebble_write_stalls_total": 0,
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s is %v (there: %v); want %v", name, value, there, want)
		}
	}
	if got["pushd_pebble_disk_bytes"] <= 0 || got["pushd_pebble_wal_bytes_total"] <= 0 {
		t.Errorf("disk %v, log %v", got["pushd_pebble_disk_bytes"], got["pushd_pebble_wal_bytes_total"])
	}
	x.See(1, 9, epoch) // keeps the index, and so its count, until here
}

func TestTheDefaultsAreThoseOfTheTags(t *testing.T) {
	t.Parallel()
	var cfg Config
	parser, err := kong.New(&cfg)
	if err == nil {
		_, err = parser.Parse(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	if cfg.Dir != want.Dir || cfg.HistoryKeep != want.HistoryKeep || cfg.Tombstones != want.Tombstones || cfg.CacheMB != want.CacheMB {
		t.Errorf("tags say %+v, DefaultConfig %+v", cfg, want)
	}
	if err := errors.Join(want.Validate(), want.validateWiring()); err != nil {
		t.Error(err)
	}
}

func TestAllFaultsOfAConfigAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	cfg := Config{HistoryKeep: -1, Tombstones: time.Hour, CacheMB: -5, DedupeWindow: 1, MergeInterval: 48 * time.Hour, DedupeMaxEntries: -1, MemTableMB: 1 << 20}
	cfg.FS = vfs.NewMem()
	_, err := Open(cfg, nil, quiet)
	if err == nil {
		t.Fatal("a config without a right value can be opened")
	}
	for _, key := range []string{"dir:", "history:", "tombstones:", "cache_mb:", "dedupe window:", "merge interval:", "dedupe entries:", "memtable_mb:"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("no word of %s in: %v", key, err)
		}
	}
}

func TestWherePebbleCannotGoOnNothingCounts(t *testing.T) {
	t.Parallel()
	f := newFault()
	if err := f.call(func() error { return nil }); err != nil {
		t.Errorf("before a fault: %v", err)
	}
	if err := f.call(func() error { pebbleLogger{quiet}.Fatalf("commit: %s", "disk gone"); return nil }); !errors.Is(err, ErrBroken) ||
		!strings.Contains(err.Error(), "commit: disk gone") {
		t.Errorf("where Pebble cannot go on: %v", err)
	}
	if err := f.call(func() error { t.Error("it goes on"); return nil }); !errors.Is(err, ErrBroken) {
		t.Errorf("after a fault: %v", err)
	}
	f = newFault()
	if err := f.call(func() error { f.happen("elsewhere"); return nil }); !errors.Is(err, ErrBroken) {
		t.Errorf("a write during which a fault happened counts: %v", err)
	}
}

// TestRebuildKnowsWhatAPartitionDoes: an index made of outcomes at hand answers as the one that is read from the disk.
func TestRebuildKnowsWhatAPartitionDoes(t *testing.T) {
	t.Parallel()
	cfg := memConfig()
	l := open(t, cfg)
	outcomes := []Outcome{
		{Device: 1, Event: 11, Kind: Accepted, At: epoch},
		{Device: 1, Event: 12, Kind: Merged, At: epoch.Add(time.Second)},
		{Device: 2, Event: 21, Kind: Accepted, At: epoch.Add(2 * time.Second)},
		{Device: 2, Event: 22, Kind: Forgotten, At: epoch.Add(3 * time.Second)},
	}
	graves := []Tombstone{{Token: 7, Since: epoch.Add(-time.Hour)}}
	write(t, l, Flush{Outcomes: outcomes, Tombstones: graves, Watermark: -1})
	restored := partition(t, reopen(t, l), 0)
	type answers struct {
		seen   [3]bool
		rested [2]bool
		at     time.Time
		dead   time.Time
	}
	ask := func(x *Index) (a answers) {
		now := epoch.Add(10 * time.Second)
		a.seen = [3]bool{x.Seen(1, 11, now), x.Seen(1, 12, now), x.Seen(1, 21, now)}
		a.at, a.rested[0] = x.RestedAt(1, now)
		_, a.rested[1] = x.RestedAt(2, now)
		a.dead, _ = x.DeadSince(7)
		return a
	}
	got, want := ask(Rebuild(cfg, epoch.Add(3*time.Second), outcomes, graves)), ask(restored.Index)
	if got != want {
		t.Errorf("rebuilt: %+v, restored: %+v", got, want)
	}
	if want.seen != [3]bool{true, true, false} || want.rested != [2]bool{true, false} || want.dead.IsZero() {
		t.Errorf("restored: %+v", want)
	}
}
