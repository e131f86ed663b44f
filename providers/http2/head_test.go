package http2

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// inspector decodes header blocks as a strict server does: after a change of its table's size, the next block must begin
// with the least of the sizes told since the last one, and then the last of them (RFC 7541, section 4.2).
type inspector struct {
	*hpack.Decoder
	size, least uint32 // of the table, as the server told; the encoder takes 4096 at most
	owed        bool
	careless    bool // does not know which sizes were told
}

func newInspector() *inspector {
	return &inspector{Decoder: hpack.NewDecoder(4096, nil), size: 4096, least: math.MaxUint32}
}

// resize is SETTINGS_HEADER_TABLE_SIZE, acknowledged.
func (in *inspector) resize(size uint32) {
	in.SetAllowedMaxDynamicTableSize(size)
	size = min(size, 4096)
	in.least, in.size, in.owed = min(in.least, size), size, true
}

// decode decodes a block and says what is wrong with it.
func (in *inspector) decode(block []byte) ([]hpack.HeaderField, error) {
	var sizes []uint32
	rest := block
	for len(rest) > 0 && rest[0]&0xe0 == 0x20 {
		size := uint32(rest[0] & 0x1f)
		rest = rest[1:]
		if size == 0x1f {
			for shift := 0; ; shift += 7 {
				b := rest[0]
				rest = rest[1:]
				size += uint32(b&0x7f) << shift
				if b&0x80 == 0 {
					break
				}
			}
		}
		sizes = append(sizes, size)
	}
	switch {
	case in.careless:
	case in.owed && (len(sizes) == 0 || sizes[len(sizes)-1] != in.size || slices.Min(sizes) != in.least):
		return nil, fmt.Errorf("table sizes %d at the beginning, want %d and then %d", sizes, in.least, in.size)
	case len(sizes) > 2, !in.owed && len(sizes) > 0:
		return nil, fmt.Errorf("table sizes %d", sizes)
	}
	in.owed, in.least = false, math.MaxUint32
	for _, size := range sizes { // hpack's decoder takes a second one only where its table is empty
		in.SetMaxDynamicTableSize(size)
	}
	return in.DecodeFull(rest)
}

// TestHeadsDecode encodes heads in any order, while the table's size changes, and decodes what comes of it.
func TestHeadsDecode(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 0))
		heads, in := newHeads(), newInspector()
		known := make([]*Head, 1+r.IntN(2*maxHeads))
		for i := range known {
			known[i] = randomHead(r)
		}
		for i := range 500 {
			switch r.IntN(20) {
			case 0:
				for range 1 + r.IntN(3) {
					size := [...]uint32{0, 40, 200, 1000, 4096, 1 << 20}[r.IntN(6)]
					heads.resize(size)
					in.resize(size)
				}
			case 1:
				known[r.IntN(len(known))] = randomHead(r)
			}
			head := known[r.IntN(len(known))]
			if r.IntN(2) == 0 {
				head = known[0]
			}
			pseudo, fields := heads.encode(head)
			block := appendIndexed(slices.Clone(pseudo), indexPath, "/path")
			block = append(block, fields...)
			block = AppendField(block, "own", strings.Repeat("x", r.IntN(300)))
			got, err := in.decode(block)
			if err != nil {
				t.Fatalf("seed %d, header %d: %v", seed, i, err)
			}
			want := slices.Concat(head.pseudo, []hpack.HeaderField{{Name: ":path", Value: "/path"}}, head.fields, got[len(got)-1:])
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, header %d:\n%v, want\n%v", seed, i, got, want)
			}
			if len(heads.known) > maxHeads {
				t.Fatalf("%d heads are kept", len(heads.known))
			}
		}
	}
}

func randomHead(r *rand.Rand) *Head {
	fields := make([]hpack.HeaderField, r.IntN(5))
	for i := range fields {
		fields[i] = hpack.HeaderField{
			Name: fmt.Sprintf("name-%d", r.IntN(5)), Value: strings.Repeat("v", r.IntN(1200)/(1+r.IntN(40))), Sensitive: r.IntN(6) == 0,
		}
	}
	return NewHead(fmt.Sprintf("host-%d", r.IntN(2)), fields...)
}

// TestAKnownHeadIsNotEncodedAgain, and takes few bytes.
func TestAKnownHeadIsNotEncodedAgain(t *testing.T) { // not parallel: it counts objects
	heads := newHeads()
	head := NewHead("server.test", hpack.HeaderField{Name: "apns-topic", Value: "com.apple.mgmt.External.1234"})
	heads.encode(head)
	heads.encode(head)
	pseudo, fields := heads.encode(head)
	if len(pseudo) != 3 || len(fields) != 1 {
		t.Errorf("%x %x", pseudo, fields)
	}
	if n := testing.AllocsPerRun(100, func() { heads.encode(head) }); n != 0 {
		t.Errorf("%g objects are made", n)
	}
}

func TestIntegersOfHPACK(t *testing.T) {
	t.Parallel()
	for _, c := range []struct { // RFC 7541, appendix C.1
		n    uint64
		bits uint
		want string
	}{{10, 5, "\x0a"}, {1337, 5, "\x1f\x9a\x0a"}, {42, 8, "\x2a"}, {31, 5, "\x1f\x00"}, {30, 5, "\x1e"}, {127, 7, "\x7f\x00"}, {255, 7, "\x7f\x80\x01"}} {
		if got := string(appendInteger(nil, 0, c.bits, c.n)); got != c.want {
			t.Errorf("%d with %d bits is %x, want %x", c.n, c.bits, got, c.want)
		}
	}
}

// TestTheHeaderOfARequest is what a server makes of it, the first time and from the table.
func TestTheHeaderOfARequest(t *testing.T) {
	play(t, func(o *Options) { o.Authorization = func() string { return "bearer abc" } }, func(s *stage) {
		s.send(3)
		p := s.peer(0)
		p.greet()
		for n, f := range p.takeAll(http2.FrameHeaders) {
			want := fmt.Sprintf("[:method POST :scheme https :authority server.test :path /device/%d x-topic com.example authorization bearer abc x-number %d]", n, n)
			var got []string
			for _, f := range f.fields {
				got = append(got, f.Name, f.Value)
			}
			if fmt.Sprint(got) != want {
				t.Errorf("%v, want %s", got, want)
			}
		}
		s.works()
		s.succeeds(0, 3)
	})
}

// TestTheServersTableSize lowers it to nothing and raises it again, with and without a request between.
func TestTheServersTableSize(t *testing.T) {
	play(t, nil, func(s *stage) {
		s.send(1)
		p := s.peer(0)
		resize := func(sizes ...uint32) {
			t.Helper()
			for _, n := range sizes {
				p.greet(http2.Setting{ID: http2.SettingHeaderTableSize, Val: n})
			}
			s.send(2)
			for _, f := range p.takeAll(http2.FrameHeaders) { // peer.note decodes them
				if f.field("x-topic") != "com.example" {
					t.Errorf("after %d the header is %v", sizes, f.fields)
				}
			}
		}
		resize(4096)
		resize(0)
		resize(4096)
		resize(0, 4096)
		resize(100, 1<<30, 300)
		resize(1<<30, 0)
		resize(1 << 30)
		p.oblige()
		s.succeeds(0, s.sent)
	})
}

// TestALargeHeaderGoesInContinuationFrames of no more than the server takes; peer.note checks their size.
func TestALargeHeaderGoesInContinuationFrames(t *testing.T) {
	play(t, nil, func(s *stage) {
		for n, size := range []int{maxFrame - 100, maxFrame, 3*maxFrame + 5} {
			r := s.request(s.sent, "{}")
			r.Fields = AppendField(nil, "large", strings.Repeat("x", size))
			s.sent++
			s.Send(&s.inbox, []Request{r})
			p := s.peer(0)
			if n == 0 {
				p.greet()
			}
			f := p.expect(http2.FrameHeaders)
			if len(f.field("large")) != size || f.parts != n+1 && !(n == 2 && f.parts == 4) {
				t.Errorf("%d bytes came in %d frames as %d", size, f.parts, len(f.field("large")))
			}
		}
		s.works()
		s.succeeds(0, 3)
	})
}

// FuzzHead encodes heads of any strings.
func FuzzHead(f *testing.F) {
	f.Add("host", "name", "value", "/path", uint32(0), uint8(3))
	f.Add("", "", "", "", uint32(4096), uint8(1))
	f.Add("server.test:443", "authorization", "bearer x", "/3/device/00", uint32(31), uint8(255))
	f.Fuzz(func(t *testing.T, host, name, value, path string, size uint32, changes uint8) {
		heads, in := newHeads(), newInspector()
		all := []*Head{
			NewHead(host, hpack.HeaderField{Name: name, Value: value}),
			NewHead(value, hpack.HeaderField{Name: value, Value: name}, hpack.HeaderField{Name: name, Value: host, Sensitive: true}),
		}
		for i := range 16 {
			if changes>>(i%8)&1 == 1 {
				heads.resize(size >> i)
				in.resize(size >> i)
			}
			head := all[i%3%2]
			pseudo, fields := heads.encode(head)
			block := AppendField(append(appendIndexed(slices.Clone(pseudo), indexPath, path), fields...), name, value)
			got, err := in.decode(block)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Concat(head.pseudo, []hpack.HeaderField{{Name: ":path", Value: path}}, head.fields, []hpack.HeaderField{{Name: name, Value: value}})
			if !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	})
}
