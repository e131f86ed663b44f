package queue

import (
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// sample is a progress with done offsets at the edges of words and of the window.
func sample() (Progress, lineage) {
	p := At(1_234_567_890_123)
	for _, i := range []int{1, 2, 63, 64, 65, 100, 4095, 8192, WindowSize - 1} {
		p.done[i/64] |= 1 << (i % 64)
	}
	return p, lineage{topic: TopicID([]byte("sixteen bytes id")), epoch: 7}
}

func TestTheMetadataOfACommitHasItsForm(t *testing.T) {
	t.Parallel()
	p, of := sample()
	got := encodeMetadata(&p, of)
	golden := filepath.Join("testdata", "metadata.golden")
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.TrimSpace(string(want)) {
		t.Errorf("the form of %s has changed: other members of the group cannot read it; raise metadataVersion", golden)
	}
	back, err := decodeMetadata(strings.TrimSpace(string(want)), p.Watermark, of)
	if err != nil || back != p {
		t.Errorf("decoded: %v, and the same is %v", err, back == p)
	}
}

func TestMetadataAlwaysFits(t *testing.T) {
	t.Parallel()
	p, of := sample()
	for i := range p.done {
		p.done[i] = ^uint64(0)
	}
	if n := len(encodeMetadata(&p, of)); n > maxMetadata {
		t.Errorf("%d characters; Kafka takes %d", n, maxMetadata)
	}
}

func TestNothingBeyondTheOffsetIsNoMetadata(t *testing.T) {
	t.Parallel()
	p, of := sample()
	empty := At(p.Watermark)
	if got := encodeMetadata(&empty, of); got != "" {
		t.Errorf("%d characters for nothing", len(got))
	}
	if got := encodeMetadata(&p, lineage{}); got != "" {
		t.Errorf("%d characters about a log that is not known", len(got))
	}
}

// Whatever is wrong with it, nothing counts as done: not even the base offset.
func TestMetadataThatCannotBeTrustedMeansThatNothingIsDone(t *testing.T) {
	t.Parallel()
	p, of := sample()
	whole := encodeMetadata(&p, of)
	raw, err := base64.RawStdEncoding.DecodeString(whole)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(i int) string {
		b := append([]byte(nil), raw...)
		b[i] ^= 0x40
		return base64.RawStdEncoding.EncodeToString(b)
	}
	otherTopic, otherEpoch := of, of
	otherTopic.topic[15]++
	otherEpoch.epoch++
	for name, c := range map[string]struct {
		text    string
		offset  int64
		of      lineage
		foreign bool
	}{
		"empty":             {"", p.Watermark, of, false},
		"a Streams group's": {"AgAAAZLJlpXl", p.Watermark, of, false},
		"cut":               {whole[:len(whole)-1], p.Watermark, of, false},
		"longer":            {whole + "A", p.Watermark, of, false},
		"no base64":         {strings.Repeat("*", len(whole)), p.Watermark, of, false},
		"with line ends":    {strings.Repeat("\n", 4) + whole[4:], p.Watermark, of, false},
		"another magic":     {changed(0), p.Watermark, of, false},
		"another version":   {changed(4), p.Watermark, of, false},
		"a flipped topic":   {changed(5), p.Watermark, of, false},
		"a flipped bit":     {changed(metadataHeader + 500), p.Watermark, of, false},
		"a flipped sum":     {changed(metadataSize - 1), p.Watermark, of, false},
		"another topic":     {whole, p.Watermark, otherTopic, true},
		"another epoch":     {whole, p.Watermark, otherEpoch, true},
		"the offset before": {whole, p.Watermark - 1, of, true},
		"the offset behind": {whole, p.Watermark + 1, of, true},
		"no known topic":    {whole, p.Watermark, lineage{}, true},
	} {
		got, err := decodeMetadata(c.text, c.offset, c.of)
		if err == nil || errors.Is(err, errForeign) != c.foreign || got != At(c.offset) || got.Done(c.offset) {
			t.Errorf("%s: %v, and %d offsets are done", name, err, got.Beyond())
		}
	}
}

// FuzzMetadata: what is decoded is what was encoded, to the character; all else is nothing.
func FuzzMetadata(f *testing.F) {
	p, of := sample()
	whole := encodeMetadata(&p, of)
	for _, seed := range []string{"", whole, whole[:100], "AgAAAZLJlpXl", strings.Repeat("A", len(whole)), strings.Repeat("\n", len(whole))} {
		f.Add(seed, p.Watermark)
	}
	f.Fuzz(func(t *testing.T, text string, offset int64) {
		got, err := decodeMetadata(text, offset, of)
		if err != nil {
			if got != At(offset) {
				t.Errorf("%v, and something is done", err)
			}
			return
		}
		if got.Watermark != offset || got.Beyond() > 0 && encodeMetadata(&got, of) != text {
			t.Errorf("decoded at %d, it is encoded otherwise", got.Watermark)
		}
	})
}
