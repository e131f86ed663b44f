package connection

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

// frames is what a server may write: settings, a response, two GOAWAYs.
func frames(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	f := http2.NewFramer(&out, nil)
	for _, err := range []error{
		f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1000}),
		f.WriteSettingsAck(),
		f.WriteData(1, true, bytes.Repeat([]byte{7}, 1000)), // 7 is the type of GOAWAY
		f.WriteGoAway(7, http2.ErrCodeNo, []byte(`{"reason":"Shutdown"}`)),
		f.WriteGoAway(5, http2.ErrCodeInternal, []byte("second")),
		f.WritePing(true, [8]byte{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func newTap() (*tap, *[]goAwayFrame) {
	var seen []goAwayFrame
	return &tap{onGoAway: func(f goAwayFrame) { seen = append(seen, f) }}, &seen
}

func TestTapSeesTheFirstGoAwayHoweverTheBytesCome(t *testing.T) {
	t.Parallel()
	all := frames(t)
	for size := 1; size <= len(all); size++ {
		tap, seen := newTap()
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			tap.follow(rest[:n])
			rest = rest[n:]
		}
		if len(*seen) != 1 || string((*seen)[0].debug) != `{"reason":"Shutdown"}` || (*seen)[0].code != http2.ErrCodeNo {
			t.Fatalf("in pieces of %d: %+v", size, *seen)
		}
		if tap.goAway() == nil {
			t.Fatalf("in pieces of %d: not kept", size)
		}
	}
}

func FuzzTapFollowsAnyBytes(f *testing.F) {
	f.Add(frames(f), 3)
	f.Add([]byte{0, 0, 3, 7, 0, 0, 0, 0, 0, 1, 2, 3}, 1) // a GOAWAY that is too short
	f.Add([]byte{255, 255, 255, 7, 0, 0, 0, 0, 0, 1}, 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		whole, seenWhole := newTap()
		whole.follow(data)
		pieces, seenPieces := newTap()
		for rest := data; len(rest) > 0; {
			n := min(max(size, 1), len(rest))
			pieces.follow(rest[:n])
			rest = rest[n:]
		}
		if len(*seenWhole) != len(*seenPieces) || len(*seenWhole) > 1 {
			t.Fatalf("%d GOAWAYs at once, %d in pieces", len(*seenWhole), len(*seenPieces))
		}
		if len(whole.payload) > 8+maxDebug {
			t.Fatalf("%d bytes are kept", len(whole.payload))
		}
		for i := range *seenWhole {
			if !bytes.Equal((*seenWhole)[i].debug, (*seenPieces)[i].debug) {
				t.Fatalf("%q at once, %q in pieces", (*seenWhole)[i].debug, (*seenPieces)[i].debug)
			}
		}
	})
}
