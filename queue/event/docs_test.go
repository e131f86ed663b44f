package event

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fence is a block of code of docs/events.md.
var fence = regexp.MustCompile("(?ms)^```(\\w+ \\w+)\n(.*?)^```$")

func TestTheExamplesOfTheDocumentationAreWhatTheyAreCalled(t *testing.T) {
	t.Parallel()
	var record []Header
	seen := map[string]int{}
	eventSchema, feedbackSchema := compileSchema(t, "event"), compileSchema(t, "feedback")
	for _, block := range fence.FindAllStringSubmatch(readDocs(t), -1) {
		kind, content := block[1], block[2]
		seen[kind]++
		switch kind {
		case "text record":
			record = parseHeaderLines(content)
		case "json value":
			e, err := Decode(record[0].Value, []byte(content), record[1:], goldenTime)
			if err != nil || e.Device == "" || len(record) > 4 && e.ID == "" {
				t.Errorf("%s: %+v, %v", content, e, err)
			}
			g := golden{Headers: map[string]string{}, Value: json.RawMessage(content)}
			for _, h := range record[1:] {
				g.Headers[h.Key] = string(h.Value)
			}
			if err := schemaTakes(eventSchema, g.data(t)); err != nil {
				t.Errorf("%s: %v", content, err)
			}
		case "json feedback":
			if f, err := DecodeFeedback([]byte(content)); err != nil || schemaTakes(feedbackSchema, []byte(content)) != nil {
				t.Errorf("%s: %+v, %v", content, f, err)
			}
		case "text dead":
			if d, ok := ParseDeadLetter(parseHeaderLines(content)); !ok || len(d.Original) > 0 {
				t.Errorf("%s: %+v, %v", content, d, ok)
			}
		case "text mark":
			headers := parseHeaderLines(content)
			if m, ok := ParseMark(headers); !ok || string(headers[0].Value) != string(m.Key()) || m.By == "" {
				t.Errorf("%s: %+v, %v", content, m, ok)
			}
		default:
			t.Errorf("nobody checks a block of %s", kind)
		}
	}
	if seen["json value"] < 6 || seen["json value"] != seen["text record"] || seen["json feedback"] == 0 || seen["text dead"] == 0 || seen["text mark"] == 0 {
		t.Errorf("examples found: %v", seen)
	}
}

func TestTheDocumentationNamesEveryFieldOutcomeAndReason(t *testing.T) {
	t.Parallel()
	docs := readDocs(t)
	names := append(outcomeNames[TokenDead:], reasonNames[:]...)
	names = append(names, pushTypes[:]...)
	names = append(names, string(Replayed), string(Dropped))
	for _, schema := range []string{"event", "feedback", "dead-letter-headers", "dead-letter-mark"} {
		content, err := os.ReadFile("../../docs/schema/" + schema + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		var parsed any
		if err := json.Unmarshal(content, &parsed); err != nil {
			t.Fatal(err)
		}
		names = appendProperties(names, parsed)
	}
	for _, name := range names {
		if !strings.Contains(docs, "`"+name+"`") && !strings.Contains(docs, "\n"+name+": ") {
			t.Errorf("docs/events.md does not speak of %s", name)
		}
	}
}

func TestTheDocumentationListsNoOtherReasons(t *testing.T) {
	t.Parallel()
	_, after, _ := strings.Cut(readDocs(t), "\n| reason | |\n")
	table, _, _ := strings.Cut(after, "\n\n")
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllStringSubmatch(table, -1) {
		listed = append(listed, row[1])
	}
	slices.Sort(listed)
	if want := slices.Sorted(slices.Values(Reasons())); !slices.Equal(listed, want) {
		t.Errorf("listed are\n%s, there are\n%s", listed, want)
	}
}

// appendProperties appends the names of all properties that a schema describes, however deep.
func appendProperties(names []string, schema any) []string {
	switch schema := schema.(type) {
	case map[string]any:
		if properties, ok := schema["properties"].(map[string]any); ok {
			names = slices.AppendSeq(names, maps.Keys(properties))
		}
		for _, part := range schema {
			names = appendProperties(names, part)
		}
	case []any:
		for _, part := range schema {
			names = appendProperties(names, part)
		}
	}
	return names
}

func readDocs(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
