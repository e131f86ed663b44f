package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write what is decoded into the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden is a file of testdata: a record, and what must come of it. A new file needs About and the record; -update adds
// the rest, to be read before it is believed.
type golden struct {
	About   string            `json:"about"`
	Key     string            `json:"key,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Value   json.RawMessage   `json:"value,omitempty"`             // absent: a tombstone
	Text    *string           `json:"text,omitempty"`              // instead of Value, where that is no JSON
	Decoded json.RawMessage   `json:"decoded,omitempty"`           // what it decodes to
	Error   *goldenError      `json:"error,omitempty"`             // or why not
	Blind   string            `json:"schema_cannot_see,omitempty"` // why the schema takes what the decoder refuses
	path    string
}

type goldenError struct {
	Reason string `json:"reason"`
	Field  string `json:"field,omitempty"`
	Text   string `json:"text"`
}

func (g *golden) tombstone() bool { return g.Value == nil && g.Text == nil }

func (g *golden) value() []byte {
	if g.Text != nil {
		return []byte(*g.Text)
	}
	return g.Value
}

func (g *golden) headers() []Header {
	var headers []Header
	for _, name := range slices.Sorted(maps.Keys(g.Headers)) {
		headers = append(headers, Header{name, []byte(g.Headers[name])})
	}
	return headers
}

// data is the JSON that the schema speaks of: the value, or the data of a CloudEvent with the type that the CloudEvent says.
func (g *golden) data(t *testing.T) []byte {
	data, ceType := g.value(), g.Headers["ce_type"]
	if strings.Contains(strings.ToLower(g.Headers["content-type"]), "application/cloudevents+json") {
		var envelope struct {
			Type string
			Data json.RawMessage
		}
		if err := json.Unmarshal(data, &envelope); err != nil {
			t.Fatal(err)
		}
		data, ceType = envelope.Data, envelope.Type
	}
	said := map[string]string{ceCheckin: "checkin", ceForget: "forget"}[ceType]
	if said == "" {
		return data
	}
	fields := map[string]any{"type": said}
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readGolden(t testing.TB, dir string) []*golden {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files in testdata/%s: %v", dir, err)
	}
	var all []*golden
	for _, path := range paths {
		g := &golden{path: path}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(content))
		d.DisallowUnknownFields()
		if err := d.Decode(g); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, g)
	}
	return all
}

// check holds what was decoded, or the error, against the golden file.
func (g *golden) check(t *testing.T, decoded any, err error) {
	t.Helper()
	got := golden{}
	if e, ok := errors.AsType[*Error](err); ok {
		got.Error = &goldenError{e.Reason.String(), e.Field, e.Text}
	} else if got.Decoded, err = json.Marshal(decoded); err != nil {
		t.Fatal(err)
	}
	if *update {
		g.Decoded, g.Error = got.Decoded, got.Error
		g.write(t)
		return
	}
	var want bytes.Buffer
	if g.Decoded != nil {
		if err := json.Compact(&want, g.Decoded); err != nil {
			t.Fatal(err)
		}
	}
	if want.String() != string(got.Decoded) || !reflect.DeepEqual(g.Error, got.Error) {
		t.Errorf("%s: %s\ngot  %s %+v\nwant %s %+v", g.path, g.About, got.Decoded, got.Error, want.Bytes(), g.Error)
	}
}

func (g *golden) write(t *testing.T) {
	var content bytes.Buffer
	e := json.NewEncoder(&content)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(g); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.path, content.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eventJSON and feedbackJSON are the decoded values with everything in words.
type eventJSON struct {
	Type, Priority, ID, Tenant, Device          string    `json:",omitempty"`
	Provider, Token, PushMagic, Topic, PushType string    `json:",omitempty"`
	Payload                                     string    `json:",omitempty"`
	Time, Expires, TokenRegisteredAt            time.Time `json:",omitzero"`
	Reason, Traceparent                         string    `json:",omitempty"`
}

func inWords(e Event) eventJSON {
	return eventJSON{e.Type.String(), e.Priority.String(), e.ID, e.Tenant, e.Device, e.Provider, e.Token, e.PushMagic,
		e.Topic, e.PushType, string(e.Payload), e.Time, e.Expires, e.TokenRegisteredAt, e.Reason, e.Traceparent}
}

// goldenTime is the Kafka timestamp of the records in testdata.
var goldenTime = time.Date(2026, 1, 2, 15, 4, 6, 0, time.UTC)

func TestGoldenEventsDecodeAsTheyAlwaysDid(t *testing.T) {
	t.Parallel()
	for _, g := range readGolden(t, "events") {
		e, err := Decode([]byte(g.Key), g.value(), g.headers(), goldenTime)
		g.check(t, inWords(e), err)
		compareWithOracle(t, []byte(g.Key), g.value(), g.headers())
	}
}

func TestGoldenFeedbackDecodesAsItAlwaysDid(t *testing.T) {
	t.Parallel()
	for _, g := range readGolden(t, "feedback") {
		f, err := DecodeFeedback(g.value())
		g.check(t, json.RawMessage(f.AppendJSON(nil)), err)
	}
}

func compileSchema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../../docs/schema/" + name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// schemaTakes says whether the value is JSON, and what the schema describes.
func schemaTakes(schema *jsonschema.Schema, value []byte) error {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return err
	}
	return schema.Validate(parsed)
}

func TestTheSchemasTakeWhatTheDecodersTake(t *testing.T) {
	t.Parallel()
	for dir, name := range map[string]string{"events": "event", "feedback": "feedback"} {
		schema := compileSchema(t, name)
		refused := 0
		for _, g := range readGolden(t, dir) {
			if g.tombstone() {
				continue
			}
			fault := schemaTakes(schema, g.data(t))
			if (g.Error == nil || g.Blind != "") != (fault == nil) {
				t.Errorf("%s: %s: decoder %+v, schema %v", g.path, g.About, g.Error, fault)
			}
			if g.Blind != "" && g.Error == nil {
				t.Errorf("%s: nothing is wrong that the schema could be blind to", g.path)
			}
			if fault != nil {
				refused++
			}
		}
		if refused < 5 {
			t.Errorf("%s: the schema refuses only %d golden files", name, refused)
		}
	}
}

func TestTheSchemasTakeWhatPushdWrites(t *testing.T) {
	t.Parallel()
	e, err := Decode(typicalKey, typicalValue, typicalHeaders, typicalTime)
	if err != nil {
		t.Fatal(err)
	}
	_, value := Encode(&e)
	if err := schemaTakes(compileSchema(t, "event"), value); err != nil {
		t.Error(err)
	}
	f := typicalFeedback()
	if err := schemaTakes(compileSchema(t, "feedback"), f.AppendJSON(nil)); err != nil {
		t.Error(err)
	}
	mark := Mark{Deed: Replayed, Partition: 7, Offset: 52, By: "ops@desk-3", At: time.Now()}
	if err := schemaTakes(compileSchema(t, "dead-letter-mark"), headersJSON(t, mark.Headers())); err != nil {
		t.Error(err)
	}
	schema := compileSchema(t, "dead-letter-headers")
	letter := DeadLetterHeaders(typicalHeaders, Cut{}, &Error{BadJSON, "", "x"}, "pushd.checkin", 1, 2, time.Now())
	if err := schemaTakes(schema, headersJSON(t, letter)); err != nil {
		t.Error(err)
	}
	for _, reason := range reasonNames {
		other := append(slices.Clone(letter), Header{deadReason, []byte(reason)})
		if err := schemaTakes(schema, headersJSON(t, other)); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
	for i := range letter {
		if strings.HasPrefix(letter[i].Key, deadPrefix) && schemaTakes(schema, headersJSON(t, slices.Delete(slices.Clone(letter), i, i+1))) == nil {
			t.Errorf("a dead letter without its %s is taken", letter[i].Key)
		}
	}
}

// headersJSON is headers as the schemas speak of them.
func headersJSON(t *testing.T, headers []Header) []byte {
	t.Helper()
	texts := map[string]string{}
	for _, h := range headers {
		texts[h.Key] = string(h.Value)
	}
	value, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
