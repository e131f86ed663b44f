package event

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

var (
	typicalKey   = []byte("acme/6F9619FF-8B86-D011-B42D-00C04FC964FF")
	typicalValue = []byte(`{"id":"01JH8Z0Q4T9V6N3S5X7C2B1A0D","type":"wake","tenant":"acme","device":"6F9619FF-8B86-D011-B42D-00C04FC964FF",` +
		`"provider":"apns","token":"7c1b0a9f3e5d2846b1a0c9d8e7f60514233241506978879aabbccddeeff00112",` +
		`"push_magic":"0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9","priority":"normal","time":"2026-01-02T15:04:05.678Z"}`)
	typicalHeaders = []Header{{"content-type", []byte("application/json")},
		{"traceparent", []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}}
	typicalTime = time.Date(2026, 1, 2, 15, 4, 6, 0, time.UTC)
)

// Not parallel: testing.AllocsPerRun counts the whole process.
func TestTheStringsOfSeveralWakesAreOneAllocation(t *testing.T) {
	var d Decoder
	n := testing.AllocsPerRun(100, func() {
		for range 12 {
			if _, err := d.Decode(typicalKey, typicalValue, typicalHeaders, typicalTime); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > 4 {
		t.Errorf("%v allocations of 12 wakes, want 4: of the strings of three each", n)
	}
}

func TestADecoderLeavesTheStringsOfFormerEventsAsTheyAre(t *testing.T) {
	t.Parallel()
	var d Decoder
	var all []Event
	for i := range 100 {
		e, err := d.Decode(fmt.Appendf(nil, "acme/device-%d", i), typicalBare(i), nil, typicalTime)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	for i, e := range all {
		if device, token := fmt.Sprintf("device-%d", i), fmt.Sprintf("%064x", i); e.Tenant != "acme" || e.Device != device || e.Token != token {
			t.Errorf("event %d is %q %q %q, want %q %q", i, e.Tenant, e.Device, e.Token, device, token)
		}
	}
}

func typicalBare(i int) []byte {
	return fmt.Appendf(nil, `{"provider":"apns","token":"%064x","push_magic":"magic \u0041 %d"}`, i, i)
}

func BenchmarkDecode(b *testing.B) {
	var d Decoder
	b.SetBytes(int64(len(typicalValue)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(typicalKey, typicalValue, typicalHeaders, typicalTime); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingJSON is what the scanner is measured against: the same record, without any of the checks.
func BenchmarkEncodingJSON(b *testing.B) {
	b.SetBytes(int64(len(typicalValue)))
	b.ReportAllocs()
	for b.Loop() {
		var e struct {
			ID, Type, Tenant, Device, Provider, Token string
			PushMagic                                 string `json:"push_magic"`
			Priority                                  string
			Time                                      time.Time
		}
		if err := json.Unmarshal(typicalValue, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e, err := Decode(typicalKey, typicalValue, typicalHeaders, typicalTime)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Encode(&e)
	}
}

func BenchmarkFeedbackAppendJSON(b *testing.B) {
	f := typicalFeedback()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = f.AppendJSON(buf[:0])
	}
}
