package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ruin is a ledger that was left behind, and how many flushes it has.
type ruin struct {
	left    string // how
	disk    *vfs.MemFS
	flushes int64
}

// ruins are a ledger that was closed, and the same one after its next process was killed.
func ruins(t *testing.T) []ruin {
	t.Helper()
	cfg := damageConfig(vfs.NewCrashableMem())
	disk := cfg.FS.(*vfs.MemFS)
	random := rand.New(rand.NewPCG(1, 2))
	n := int64(0)
	use := func(flushes int) *Ledger {
		l, err := Open(cfg, nil, quiet)
		if err != nil {
			t.Fatal(err)
		}
		for range flushes {
			n++
			write(t, l, crashFlush(n)...)
		}
		return l
	}
	whole := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: random}
	for range 2 {
		if err := use(200).Close(); err != nil {
			t.Fatal(err)
		}
	}
	closed := ruin{"closed", disk.CrashClone(whole), n}
	l := use(60)
	killed := ruin{"killed", disk.CrashClone(whole), n}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return []ruin{closed, killed}
}

func damageConfig(fs vfs.FS) Config {
	cfg := memConfig()
	cfg.MemTableMB, cfg.CacheMB, cfg.FS = 1, 1, fs
	return cfg
}

// TestADamagedLedgerIsWholeOrRefused flips a byte of a file of the ledger, or cuts one, and opens it: all that was written is
// there, or it is refused with an error that names the directory and says what to do; with Config.SetAside it is set aside.
func TestADamagedLedgerIsWholeOrRefused(t *testing.T) {
	t.Parallel()
	seed, all := rand.Uint64N(1000), form(60, 500, 5000)
	left := ruins(t)
	tally := map[string]int{}
	var mu sync.Mutex // guards tally
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				r := left[i%len(left)]
				damaged := r.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: random})
				kind, what := damage(t, damaged, random)
				name := fmt.Sprintf("seed %d, damage %d, %s, %s", seed, i, r.left, what)
				aside := damaged.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: random})
				became := openRuin(t, name, damaged, r.flushes)
				asideRuin(t, name, aside, r.flushes, became == "refused" && kind != markerName)
				mu.Lock()
				tally[kind+" "+became]++
				tally[became]++
				mu.Unlock()
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	workers.Wait()
	t.Logf("seed %d: %d damages: %v", seed, all, tally)
	if tally["whole"]+tally["refused"] != all || tally["whole"] == 0 || tally["refused"] == 0 {
		t.Errorf("of %d damages %d left it whole and %d were refused", all, tally["whole"], tally["refused"])
	}
}

// damage flips a byte of a file, or cuts the file; it returns the file's kind and what it did.
func damage(t *testing.T, disk *vfs.MemFS, random *rand.Rand) (kind, what string) {
	t.Helper()
	dir := memConfig().Dir
	names, err := disk.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	kinds := []string{".log", ".sst", manifestPrefix, "OPTIONS-", writtenName, markerName}
	var path string
	var value []byte
	for len(value) == 0 {
		kind = kinds[random.IntN(len(kinds))]
		of := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.Contains(n, kind) })
		if len(of) == 0 {
			continue
		}
		path = disk.PathJoin(dir, of[random.IntN(len(of))])
		value = readAll(t, disk, path)
	}
	at := random.IntN(len(value))
	if random.IntN(4) == 0 {
		what = fmt.Sprintf("%s cut to %d of %d bytes", path, at, len(value))
		value = value[:at]
	} else {
		flip := byte(1 + random.IntN(255))
		what = fmt.Sprintf("byte %d of %d of %s flipped by %#x", at, len(value), path, flip)
		value[at] ^= flip
	}
	f, err := disk.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(value); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return kind, what
}

func readAll(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, info.Size())
	if _, err := f.ReadAt(value, 0); err != nil && len(value) > 0 {
		t.Fatal(err)
	}
	return value
}

// openRuin says what becomes of a damaged ledger: "whole" or "refused".
func openRuin(t *testing.T, name string, disk vfs.FS, flushes int64) string {
	l, err := Open(damageConfig(disk), nil, quiet)
	if err == nil {
		var n int64
		n, err = recall(l, flushes)
		if err == nil && n != flushes {
			t.Errorf("%s: without a word it is as after flush %d of %d", name, n, flushes)
			return "wrong"
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err == nil {
		return "whole"
	}
	text := err.Error()
	mends := strings.Contains(text, "put back a copy") || strings.Contains(text, "name an empty directory")
	if !strings.Contains(text, memConfig().Dir) || !mends || strings.Contains(text, "\n") {
		t.Errorf("%s: refused with %q", name, text)
		return "wrong"
	}
	return "refused"
}

// asideRuin opens a damaged ledger that may be set aside; where the damage is found later, that is done at the next start.
func asideRuin(t *testing.T, name string, disk vfs.FS, flushes int64, want bool) {
	cfg := damageConfig(disk)
	cfg.SetAside = true
	for range 2 {
		l, err := Open(cfg, nil, quiet)
		if err != nil {
			if want {
				t.Errorf("%s: not set aside: %v", name, err)
			}
			return
		}
		for p := range int32(crashPartitions) {
			if _, err = l.Partition(p); err != nil {
				break
			}
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			break
		}
	}
	if _, err := disk.Stat(cfg.Dir + ".damaged.1"); (err == nil) != want {
		t.Errorf("%s: set aside: %v, and should be: %v", name, err == nil, want)
	}
}

func TestADamagedLedgerThatIsSetAsideIsKeptWhole(t *testing.T) {
	t.Parallel()
	cfg := damageConfig(vfs.NewMem())
	cfg.SetAside = true
	for i := range 2 {
		l := open(t, cfg)
		write(t, l, Flush{Watermark: 7, Put: []Waiting{{1, []byte("waits")}}})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		before := readAll(t, cfg.FS, cfg.Dir+"/"+writtenName)
		f, err := cfg.FS.Create(cfg.Dir+"/"+damagedName, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		local := cfg
		local.SetAside = false
		if _, err := Open(local, nil, quiet); !errors.Is(err, errDamaged) {
			t.Errorf("where it may not be set aside: %v", err)
		}
		l = open(t, cfg)
		if r := partition(t, l, 0); r.Watermark != -1 || len(r.Waiting) > 0 {
			t.Errorf("the new ledger knows %+v", r)
		}
		if n := counted(t, l.metrics.aside); n != 1 {
			t.Errorf("%v were counted", n)
		}
		aside := fmt.Sprintf("%s.damaged.%d", cfg.Dir, i+1)
		if after := readAll(t, cfg.FS, aside+"/"+writtenName); string(after) != string(before) {
			t.Errorf("what was set aside was changed")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADamagedRecordCostsItsEventsAndNothingElse(t *testing.T) {
	t.Parallel()
	l := open(t, memConfig())
	const records, damages = 20, 100
	for n := range EventID(records) {
		write(t, l, Flush{Watermark: int64(n), Outcomes: []Outcome{
			accepted(1, 2*n+1, epoch.Add(time.Duration(n)*time.Second)), accepted(2, 2*n+2, epoch.Add(time.Duration(n)*time.Second)),
		}})
	}
	seed := rand.Uint64N(1000)
	random := rand.New(rand.NewPCG(seed, 0))
	all := keys(t, l, journalPrefix)
	for i := range damages {
		which := random.IntN(records)
		good, closer, err := l.db.Get(all[which])
		if err != nil {
			t.Fatal(err)
		}
		good = slices.Clone(good)
		closer.Close()
		bad := slices.Clone(good)
		bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		if err := l.db.Set(all[which], bad, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		x := partition(t, l, 0).Index
		for n := range records {
			for d := range 2 {
				if seen := x.Seen(Device(d+1), EventID(2*n+d+1), epoch.Add(time.Minute)); seen != (n != which) {
					t.Errorf("seed %d: record %d is damaged; event of record %d seen: %v", seed, which, n, seen)
				}
			}
		}
		if got := counted(t, l.metrics.corrupt); got != float64(i+1) {
			t.Errorf("seed %d: %v damaged records counted after %d", seed, got, i+1)
		}
		if err := l.db.Set(all[which], good, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d: %d flips in journal records, each noticed, counted, and the events of its record alone forgotten", seed, damages)
}
