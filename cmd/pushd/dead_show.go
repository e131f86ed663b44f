package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"pushd/queue"
	"pushd/queue/event"
)

// deadShowCmd is "pushd dead show".
type deadShowCmd struct {
	Settings
	Place place `arg:"" help:"Which: PARTITION/OFFSET, as \"pushd dead list\" has it." placeholder:"PARTITION/OFFSET"`
}

// Help is shown by "pushd dead show --help".
func (deadShowCmd) Help() string {
	return `The record is shown as it was published, token and push magic included: mind who looks on. Characters that a terminal would obey
are shown as escapes, and a value that is no text as hex.`
}

func (c *deadShowCmd) Run(p *process) error {
	return atDesk(p, &c.Config, func(ctx context.Context, d *desk) error {
		record, dead, mark, err := d.one(ctx, c.Place)
		if err != nil {
			return err
		}
		text := describe(&record, &dead, mark, c.ConfigFile)
		_, err = p.stdout.Write(text)
		return err
	})
}

// describe is all of a letter; config is the file that the command was given, if any.
func describe(r *queue.Record, dead *event.DeadLetter, mark *event.Mark, config string) []byte {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(t, "%s\t%s\n", name, value) }
	line("dead letter", place{r.Partition, r.Offset}.String())
	line("reason", printable(dead.Reason))
	line("error", printable(strings.TrimPrefix(dead.Error, dead.Reason+": ")))
	line("read at", fmt.Sprintf("%s, partition %d, offset %d", printable(dead.Topic), dead.Partition, dead.Offset))
	line("first seen", dead.FirstSeen.Format(time.RFC3339))
	line("came here", r.Time.UTC().Format(time.RFC3339))
	if mark != nil {
		line("mark", fmt.Sprintf("%s by %s at %s", mark.Deed, printable(mark.By), mark.At.Format(time.RFC3339)))
	}
	key := "none"
	if r.Key != nil {
		key = printable(string(r.Key))
	}
	line("key", key)
	for _, h := range dead.Original {
		line("header", printable(h.Key)+": "+printable(string(h.Value)))
	}
	for _, part := range []struct {
		name         string
		bytes, shown int
	}{{"key", dead.Cut.Key, len(r.Key)}, {"value", dead.Cut.Value, len(r.Value)}} {
		if part.bytes > 0 {
			line("cut", fmt.Sprintf("the %s had %d bytes; the letter holds the first %d", part.name, part.bytes, part.shown))
		}
	}
	if dead.Cut.Headers > 0 {
		line("cut", fmt.Sprintf("the headers had %d bytes; the letter holds the first of them", dead.Cut.Headers))
	}
	kind, value := readable(wholeRunes(r.Value, dead.Cut.Value > 0))
	line("value", kind)
	line("next", next(r, dead, mark, config))
	_ = t.Flush() // to memory
	b.WriteString(value)
	return b.Bytes()
}

// next is what can be done about a letter: the commands as they have to be given.
func next(r *queue.Record, dead *event.DeadLetter, mark *event.Mark, config string) string {
	if mark != nil {
		return "nothing: it is done with"
	}
	command := func(deed, more string) string {
		line := fmt.Sprintf("pushd dead %s %s%s", deed, place{r.Partition, r.Offset}, more)
		if config != "" {
			line += " --config " + shellWord(config)
		}
		return line + " --commit"
	}
	if _, err := event.Decode(r.Key, r.Value, dead.Original, r.Time); err != nil || !dead.Cut.Whole() {
		return fmt.Sprintf("mend the value in a file, then: %s; or: %s", command("replay", " --value FILE"), command("drop", ""))
	}
	return "it is an event; when what the error names is mended: " + command("replay", "")
}

// shellWord is text as a shell takes it for one word.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-/+:@%", r)
	}
	if !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(printable(text), "'", `'\''`) + "'"
}

// wholeRunes takes off the half of a character in which a cut value may end.
func wholeRunes(value []byte, cut bool) []byte {
	for i := len(value) - 1; cut && i >= max(0, len(value)-utf8.UTFMax); i-- {
		if utf8.RuneStart(value[i]) {
			if !utf8.FullRune(value[i:]) {
				return value[:i]
			}
			break
		}
	}
	return value
}

// readable is a value for people, and what it is.
func readable(value []byte) (kind, text string) {
	size := plural(len(value), "byte", "bytes")
	var indented bytes.Buffer
	switch {
	case value == nil:
		return "none (a tombstone)", ""
	case len(value) == 0:
		return "empty", ""
	case !utf8.Valid(value):
		return size + ", in hex", "\n" + hex.Dump(value)
	case shallow(value) && json.Indent(&indented, value, "", "  ") == nil:
		return size + ", JSON", "\n" + printableLines(indented.String())
	}
	return size + ", text", "\n" + printableLines(string(value))
}

// shallow says whether a value is nested so little that each level can have its indentation.
func shallow(value []byte) bool {
	return bytes.Count(value, []byte("{"))+bytes.Count(value, []byte("[")) < 1000
}

func printableLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(printable(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return b.String()
}
