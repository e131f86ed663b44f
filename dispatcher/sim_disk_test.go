package dispatcher

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"pushd/store"
)

// disk is a modelled ledger: what store.Ledger would have on the disk, in two halves. A batch that is written survives the
// process, one that is synced survives the machine's power.
type disk struct {
	seed    uint64   // of identities, as each ledger has its own
	names   Identify // made of it
	synced  map[int32]*ledgerPart
	alive   time.Time // the newest time that was written; the process that begins to write sets it anew
	wrote   bool      // this process has written
	batches []*batch  // behind it, in order
}

// ledgerPart is what the ledger has of one partition.
type ledgerPart struct {
	outcomes   []store.Outcome
	known      map[outcomeKey]time.Time // of which events it ever had an outcome, and when it was made
	waiting    map[store.Device]storedWake
	tombstones []store.Tombstone
}

type outcomeKey struct {
	device store.Device
	event  store.EventID
}

// batch is a write of the ledger that is under way.
type batch struct {
	flushes []store.Flush
	stand   [][][]*simEvent // for each flush, for which events each wake stands that it puts
	written bool            // the operating system has it
}

func newDisk(seed uint64) *disk {
	return &disk{seed: seed, names: identitiesOf(seed), synced: make(map[int32]*ledgerPart)}
}

// sync makes the oldest batch outlive everything but the disk itself. It returns the events of wakes that are not stored any
// more, or are stored otherwise.
func (d *disk) sync() (gone []*simEvent) {
	gone = d.apply(d.batches[0])
	d.batches = d.batches[1:]
	return gone
}

// survive resolves what was under way when the process ended. The log is written in order: of the batches that might be
// lost, all behind the first that is are lost too. It says whether one is.
func (d *disk) survive(powerLost bool, rng *rand.Rand) (gone []*simEvent, lost bool) {
	for _, b := range d.batches {
		if lost = (powerLost || !b.written) && rng.IntN(2) == 0; lost {
			break
		}
		gone = append(gone, d.apply(b)...)
	}
	d.batches = nil
	return gone, lost
}

func (d *disk) part(p int32) *ledgerPart {
	part := d.synced[p]
	if part == nil {
		part = &ledgerPart{known: make(map[outcomeKey]time.Time), waiting: make(map[store.Device]storedWake)}
		d.synced[p] = part
	}
	return part
}

func (d *disk) apply(b *batch) (gone []*simEvent) {
	for i := range b.flushes {
		f := &b.flushes[i]
		part := d.part(f.Partition)
		for _, o := range f.Outcomes {
			o.At = time.UnixMilli(o.At.UnixMilli())
			if !d.wrote || o.At.After(d.alive) {
				d.alive, d.wrote = o.At, true
			}
			part.outcomes = append(part.outcomes, o)
			part.known[outcomeKey{o.Device, o.Event}] = o.At
		}
		for _, device := range f.Delete {
			gone = append(gone, part.waiting[device].stands...)
			delete(part.waiting, device)
		}
		for j, w := range f.Put {
			gone = append(gone, part.waiting[w.Device].stands...)
			part.waiting[w.Device] = storedWake{w.Data, b.stand[i][j]}
		}
		for _, t := range f.Tombstones {
			part.tombstones = append(part.tombstones, store.Tombstone{Token: t.Token, Since: time.UnixMilli(t.Since.UnixMilli())})
		}
	}
	return gone
}

// restored is what a new process reads of a partition.
func (d *disk) restored(p int32, cfg Config) *store.Restored {
	settings := store.DefaultConfig()
	settings.DedupeWindow, settings.MergeInterval = cfg.Dedupe.Window, cfg.Merge.Interval
	settings.DedupeMaxEntries = cfg.Dedupe.MaxEntries
	part := d.part(p)
	from := d.alive.Add(-max(cfg.Dedupe.Window, cfg.Merge.Interval))
	part.outcomes = slices.DeleteFunc(part.outcomes, func(o store.Outcome) bool { return o.At.Before(from) })
	r := &store.Restored{Index: store.Rebuild(settings, d.alive, part.outcomes, part.tombstones), Watermark: -1}
	for _, device := range slices.Sorted(maps.Keys(part.waiting)) {
		r.Waiting = append(r.Waiting, store.Waiting{Device: device, Data: part.waiting[device].data})
	}
	return r
}

// partitions are those that have waiting wakes, in order.
func (d *disk) partitions() []int32 {
	var all []int32
	for p, part := range d.synced {
		if len(part.waiting) > 0 {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}

// identitiesOf makes the identities of a ledger.
func identitiesOf(seed uint64) Identify {
	return Identify{
		Device: func(tenant, device string) store.Device { return store.Device(digest(digest(seed, tenant), device)) },
		EventID: func(of store.Device, id string) store.EventID {
			return store.EventID(digest(seed^uint64(of), id) | 1)
		},
		OffsetID: func(p int32, offset int64, at time.Time) store.EventID {
			return store.EventID(spread(spread(seed^uint64(offset))^uint64(p)<<48^uint64(at.UnixMilli())) | 1)
		},
		Token:     func(token string) store.Token { return store.Token(digest(seed, token)) },
		TokenHash: func(token string) string { return fmt.Sprintf("%016x", digest(^seed, token)) },
	}
}

// digest is a keyed hash (FNV-1a, spread).
func digest(seed uint64, s string) uint64 {
	h := seed ^ 0xcbf29ce484222325
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return spread(h)
}

// spread spreads the bits of x over all of the result (the finalizer of MurmurHash3).
func spread(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
