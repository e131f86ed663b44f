// Package mixture makes a realistic load: tenants with devices, and the events that their management server publishes
// for them, with everything that goes wrong on an ordinary day. The same seed makes the same mixture.
//
// It knows what it published and what the providers will say; it does not know pushd, and package audit holds pushd's
// deeds against it.
package mixture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"pushd/queue/event"
)

// Config says how much to make.
type Config struct {
	Events  int     // records to publish, everything included
	Tenants int     // half of them have Apple devices, half Android, some both
	Seed    uint64  //
	Noise   float64 // part of the events that the first tenant publishes in bursts: from 0, none, to 1
	Once    bool    // each device gets one command: any push beyond the first is seen to be one too many
}

// Tenant is a customer.
type Tenant struct {
	Name    string
	Topic   string  // APNs topic; empty where it has no Apple devices
	Project string  // FCM project; empty where it has no Android devices
	Rate    float64 // pushes per second of each of its credentials; 0 leaves it to the daemon's settings
	Weight  int     // its share of turns; 0 leaves it to the daemon
}

// Want is what has to become of a record.
type Want uint8

const (
	Push      Want = iota // a push accepted after it
	Dead                  // feedback that the token is dead
	Expired               // feedback that it expired, or a push
	Garbage               // a dead letter
	Duplicate             // nothing: it was published before
)

func (w Want) String() string {
	return [...]string{"a push", "feedback that the token is dead", "feedback that it expired", "a dead letter", "nothing"}[w]
}

// Record is one record to publish.
type Record struct {
	Want     Want
	ID       string // of the event
	Device   string // tenant/device
	Provider string
	Token    string
	Key      []byte
	Value    []byte
}

// Tenant is the name of the tenant whose device it is.
func (r *Record) Tenant() string {
	tenant, _, _ := strings.Cut(r.Device, "/")
	return tenant
}

// Mixture is a load and what the providers will say to it.
type Mixture struct {
	Tenants []Tenant
	Records []Record         // in the order of publishing
	Bursts  [][]Record       // of the noisy tenant, which is the first: each to be published at once, beside Records
	Faults  map[string]Fault // by token
}

// Fault is what a provider answers for a token.
type Fault uint8

const (
	NoFault          Fault = iota
	DeadToken              // always: Unregistered, UNREGISTERED
	TooMany                // at first: TooManyRequests, QUOTA_EXCEEDED with Retry-After
	Unavailable            // at first: ServiceUnavailable, UNAVAILABLE
	Internal               // at first: InternalServerError, INTERNAL
	Reset                  // at first: the stream is reset
	LastOfConnection       // at first: GOAWAY, and the connection ends
)

// device is what the mixture remembers of a device while it is made.
type device struct {
	event.Event
	fault Fault
}

// New makes a mixture.
func New(cfg Config) *Mixture {
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x70757368))
	m := &Mixture{Tenants: tenants(cfg.Tenants), Faults: make(map[string]Fault)}
	noise := int(cfg.Noise * float64(cfg.Events))
	events := cfg.Events - noise
	type placed struct {
		at float64 // its place in the order of publishing
		Record
	}
	var all []placed
	add := func(at float64, r Record) { all = append(all, placed{at, r}) }
	n := 0 // devices
	for ; len(all) < events; n++ {
		d := m.device(rng, m.Tenants[rng.IntN(len(m.Tenants))], n)
		at := rng.Float64()
		gets := commands(rng)
		if cfg.Once {
			gets = 1
		}
		for i := 0; i < gets && len(all) < events; i++ {
			// Commands come in bursts; now and then there is a second one.
			if at += rng.Float64() * 0.002; rng.IntN(40) == 0 {
				at += rng.Float64() * 0.5
			}
			r := m.record(rng, d, n, i)
			add(at, r)
			if rng.IntN(50) == 0 && len(all) < events { // the publisher was not sure, and publishes again
				r.Want = Duplicate
				add(at+rng.Float64()*0.003, r)
			}
		}
		if rng.IntN(100) == 0 && len(all) < events {
			add(rng.Float64(), garbage(rng, m.Tenants, n))
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	m.Records = make([]Record, len(all))
	for i := range all {
		m.Records[i] = all[i].Record
	}
	if noise > 0 {
		m.Bursts = m.noise(rng, noise, n)
	}
	return m
}

const (
	// bursts is how many the noisy tenant publishes.
	bursts = 2
	// rounds is how many commands each of its devices gets in a burst.
	rounds = 4
)

// noise makes so many events of the noisy tenant. Each burst is for devices of its own, which begin with the n-th: they do
// not rest from the burst before.
func (m *Mixture) noise(rng *rand.Rand, events, n int) [][]Record {
	all := make([][]Record, bursts)
	for b := range all {
		size := events*(b+1)/bursts - events*b/bursts
		fleet := make([]device, max(1, size/rounds))
		for i := range fleet {
			fleet[i] = m.device(rng, m.Tenants[0], n+i)
		}
		for i := range size {
			k := i % len(fleet)
			all[b] = append(all[b], m.record(rng, fleet[k], n+k, i/len(fleet)))
		}
		n += len(fleet)
	}
	return all
}

func tenants(n int) []Tenant {
	all := make([]Tenant, max(1, n))
	for i := range all {
		all[i].Name = fmt.Sprintf("tenant-%03d", i)
		if i%2 == 0 || i%10 == 1 {
			all[i].Topic = fmt.Sprintf("com.apple.mgmt.External.%08x-0000-4000-8000-%012x", i, i)
		}
		if i%2 == 1 || i%10 == 0 && i > 0 {
			all[i].Project = fmt.Sprintf("project-%03d", i)
		}
	}
	return all
}

// commands is how many a device gets: mostly one or a few, sometimes a whole profile rollout.
func commands(rng *rand.Rand) int {
	switch n := rng.IntN(10); {
	case n < 4:
		return 1
	case n < 8:
		return 2 + rng.IntN(3)
	default:
		return 5 + rng.IntN(8)
	}
}

// device makes the n-th device, of a tenant.
func (m *Mixture) device(rng *rand.Rand, t Tenant, n int) device {
	d := device{Event: event.Event{Tenant: t.Name, Device: fmt.Sprintf("device-%07d", n)}}
	if t.Project == "" || t.Topic != "" && rng.IntN(2) == 0 {
		d.Provider, d.Token, d.PushMagic = "apns", hex(rng, 32), "magic-"+hex(rng, 8)
		d.PushType = "mdm"
	} else {
		d.Provider, d.Token = "fcm", hex(rng, 11)+":APA91b"+hex(rng, 60)
	}
	if rng.IntN(3) == 0 {
		d.TokenRegisteredAt = time.Now().Add(-time.Duration(1+rng.IntN(1000)) * time.Hour).Truncate(time.Second)
	}
	switch rng.IntN(200) {
	case 0, 1, 2, 3:
		d.fault = DeadToken
	case 4:
		d.fault = TooMany
	case 5:
		d.fault = Unavailable
	case 6:
		d.fault = Internal
	case 7:
		d.fault = Reset
	}
	if n > 0 && n%5000 == 0 {
		d.fault = LastOfConnection
	}
	if d.fault == TooMany && d.Provider == "fcm" && rng.IntN(10) > 0 {
		d.fault = NoFault // FCM's quota answer slows the whole project: a few are enough
	}
	if d.fault != NoFault {
		m.Faults[d.Token] = d.fault
	}
	return d
}

// record makes the i-th event of the n-th device.
func (m *Mixture) record(rng *rand.Rand, d device, n, i int) Record {
	e := d.Event
	e.ID = fmt.Sprintf("e-%07d-%d", n, i)
	e.Reason = "command queued"
	e.Priority = event.Normal
	switch rng.IntN(20) {
	case 0:
		e.Priority = event.Urgent
	case 1, 2, 3:
		e.Priority = event.Bulk
	}
	want := Push
	switch {
	case d.fault == DeadToken:
		want = Dead
	case rng.IntN(100) == 0:
		want = Expired
		e.Expires = time.Now().Add(-time.Duration(1+rng.IntN(60)) * time.Minute).Truncate(time.Second)
	case rng.IntN(3) == 0:
		e.Expires = time.Now().Add(24 * time.Hour).Truncate(time.Second)
	}
	r := Record{Want: want, ID: e.ID, Device: e.Tenant + "/" + e.Device, Provider: e.Provider, Token: e.Token}
	r.Key, r.Value = event.Encode(&e)
	return r
}

// garbage makes a record that nobody can understand, with a tail by which it is known again.
func garbage(rng *rand.Rand, tenants []Tenant, n int) Record {
	mark := fmt.Sprintf("garbage-%07d", n)
	device := tenants[rng.IntN(len(tenants))].Name + "/" + mark
	bodies := []string{
		`{"tenant":`,
		`not JSON at all `,
		`{"device":7,"mark":"` + mark + `"}`,
		`{"provider":"pigeon","token":"aa","mark":"` + mark + `"}`,
		`{"provider":"apns","mark":"` + mark + `"}`,
		"{\"provider\":\"apns\",\"token\":\"\xff\xfe\"}",
	}
	value := bodies[rng.IntN(len(bodies))]
	return Record{Want: Garbage, ID: mark, Device: device, Key: []byte(device), Value: []byte(value)}
}

const digits = "0123456789abcdef"

func hex(rng *rand.Rand, bytes int) string {
	b := make([]byte, 2*bytes)
	for i := range b {
		b[i] = digits[rng.IntN(16)]
	}
	return string(b)
}
