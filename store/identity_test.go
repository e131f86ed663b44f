package store

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

func TestIdentitiesArePureKeyedAndWithoutAllocation(t *testing.T) {
	cfg := memConfig()
	l, other := open(t, cfg), open(t, memConfig())
	all := func(l *Ledger) []uint64 {
		d := l.Device("tenant", "device")
		return []uint64{
			uint64(d), uint64(l.Device("tenantd", "evice")), uint64(l.Device("device", "tenant")), uint64(l.Token("tenant")),
			uint64(l.EventID(d, "id")), uint64(l.EventID(d+1, "id")), uint64(l.EventID(d, "")), uint64(l.EventID(d, strings.Repeat("i", 300))),
			uint64(l.OffsetID(0, 0, epoch)), uint64(l.OffsetID(1, 0, epoch)), uint64(l.OffsetID(0, 1, epoch)),
			uint64(l.OffsetID(0, 0, epoch.Add(time.Millisecond))),
		}
	}
	ids := all(l)
	if n := testing.AllocsPerRun(100, func() {
		d := l.Device("tenant", "device")
		l.EventID(d, "id")
		l.OffsetID(1, 2, epoch)
		l.Token("token")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !slices.Equal(all(reopen(t, l)), ids) {
		t.Error("identities change with a restart")
	}
	known := map[uint64]bool{0: true}
	for i, id := range append(ids, all(other)...) {
		if known[id] {
			t.Errorf("identity %d is 0 or that of another name or ledger", i)
		}
		known[id] = true
	}
}

func TestATokenHashIsTheLedgersOwnAndStaysTheSame(t *testing.T) {
	t.Parallel()
	const token = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
	l, other := open(t, memConfig()), open(t, memConfig())
	hash := l.TokenHash(token)
	if !regexp.MustCompile(`^hmac:[0-9a-f]{12}$`).MatchString(hash) {
		t.Errorf("the hash is %q", hash)
	}
	if hash == other.TokenHash(token) || hash == l.TokenHash(token+"0") {
		t.Error("another ledger, or another token, has the same hash")
	}
	l = reopen(t, l)
	if l.TokenHash(token) != hash {
		t.Error("it changes with a restart")
	}
	// A ledger of an earlier pushd has no key for it.
	if err := l.db.Delete(hashKey, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if l = reopen(t, l); l.TokenHash(token) == hash || l.TokenHash(token) != reopen(t, l).TokenHash(token) {
		t.Error("a ledger without a key has not got one that stays")
	}
	l.hashing = make([]byte, 32)
	if got := l.TokenHash(token); got != "hmac:1d1b5eba5caf" {
		t.Errorf("under a key of zeroes it is %s", got)
	}
}
