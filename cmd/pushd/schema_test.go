package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"pushd/providers"
)

const (
	configSchemaFile = "../../docs/pushd.schema.json"
	tenantSchemaFile = "../../docs/tenant.schema.json"
)

func TestTheSchemasAreTheGeneratedOnes(t *testing.T) {
	t.Parallel()
	golden(t, configSchemaFile, pushd(nil, "config", "schema").stdout)
	golden(t, tenantSchemaFile, pushd(nil, "config", "schema", "tenant").stdout)
}

func compiled(t *testing.T, s *schema) *jsonschema.Schema {
	t.Helper()
	var text bytes.Buffer
	if err := writeSchema(&text, s); err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(&text)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(s.ID, document); err != nil {
		t.Fatal(err)
	}
	result, err := compiler.Compile(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// asEditorsDo reads YAML as a value to be validated; fine is false where it is not YAML.
func asEditorsDo(text []byte) (value any, fine bool) {

	if err := yaml.Unmarshal(text, &value); err != nil {
		return nil, false
	}
	return value, true
}

func TestTheSchemaHasEverySettingWithTypeDefaultAndDescription(t *testing.T) {
	t.Parallel()
	known := newCatalogue()
	root := configSchema(known)
	compiledRoot := compiled(t, root)
	for _, flag := range known.order {
		s := root
		for _, name := range strings.Split(flag.Name, ".") {
			if s.Closed == nil || *s.Closed {
				t.Errorf("%s: a section of it takes unknown names", flag.Name)
			}
			if s = s.Properties[name]; s == nil {
				t.Fatalf("%s is not in the schema", flag.Name)
			}
		}
		if s.Type == nil || s.Default == nil || s.Description != flag.Help {
			t.Errorf("%s is in the schema as %+v", flag.Name, s)
		}
		if flag.Target.Type() == reflect.TypeFor[time.Duration]() && s.Pattern == "" {
			t.Errorf("%s is a duration without a pattern", flag.Name)
		}
		nested := s.Default
		for _, name := range slices.Backward(strings.Split(flag.Name, ".")) {
			nested = map[string]any{name: nested}
		}
		text, err := json.Marshal(nested)
		if err != nil {
			t.Fatal(err)
		}
		if value, _ := asEditorsDo(text); compiledRoot.Validate(value) != nil {
			t.Errorf("%s: the default is refused: %v", flag.Name, compiledRoot.Validate(value))
		}
	}
}

func TestTheSchemaTakesEveryWayToWriteAValueThatPushdTakes(t *testing.T) {
	t.Parallel()
	s := compiled(t, configSchema(newCatalogue()))
	for _, text := range []string{
		"", "{}", "log:\n", "kafka: {brokers: [a:1, b:2], allow_plaintext: true}", "kafka: {brokers: 'a:1,b:2', allow_plaintext: true}", "merge: {rewake: [1m, 2h]}", "merge: {rewake: '1m,2h30m'}",
		"merge: {max_waiting: 1_000_000}", "rates: {fcm: 0.5, apns: 1_000.5}", "merge: {interval: 1h2m3.5s}", "kafka: {replication: -1}",
	} {
		if got := pushd(nil, "config", "show", "-c", file(t, text)); got.code != exitOK {
			t.Errorf("%s: pushd refuses it: %s", text, got.stderr)
		}
		if value, fine := asEditorsDo([]byte(text)); !fine || s.Validate(value) != nil {
			t.Errorf("%s: the schema refuses it: %v", text, s.Validate(value))
		}
	}
	example, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if value, fine := asEditorsDo(example); !fine || s.Validate(value) != nil {
		t.Errorf("the example file is refused: %v", s.Validate(value))
	}
	if first, _, _ := bytes.Cut(example, []byte("\n")); string(first) != "# yaml-language-server: $schema=docs/pushd.schema.json" {
		t.Errorf("the example file does not name its schema, but begins with %s", first)
	}
}

func TestTheSchemaRefusesFilesOfAnotherStructure(t *testing.T) {
	t.Parallel()
	s := compiled(t, configSchema(newCatalogue()))
	files, err := filepath.Glob("testdata/faulty/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// Of these an editor's YAML reader complains, or it looks at each document by itself.
	left := map[string]bool{"duplicates.yaml": true, "not_yaml.yaml": true, "two_documents.yaml": true}
	for _, path := range append(files, "testdata/check/pushd.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		if value, fine := asEditorsDo(text); !fine && !left[name] {
			t.Errorf("%s is not YAML", path)
		} else if fine && s.Validate(value) == nil && !left[name] {
			t.Errorf("%s is taken", path)
		}
		delete(left, name)
	}
	if len(left) > 0 {
		t.Errorf("there are no files %v", slices.Collect(maps.Keys(left)))
	}
}

// The schema and the loader must agree on what is a tenant's file, as far as a schema can say it.
func TestTheTenantSchemaTakesWhatIsATenantAndNothingElse(t *testing.T) {
	t.Parallel()
	s := compiled(t, tenantSchema())
	c := newCustomers(t)
	c.add("acme")
	const credentials = "apns: {certificate: acme.pem}\nfcm: {service_account: acme.json}\n"
	for text, want := range map[string]bool{
		"tenant: acme\n" + credentials:                                            true,
		"tenant: acme\n" + credentials + "rate: 0.5\nin_flight: 1\nweight: 100\n": true,
		credentials: false,
		"tenant: acme\n" + credentials + "weight: 101\n":                                    false,
		"tenant: acme\n" + credentials + "weight: 0\n":                                      false,
		"tenant: acme\n" + credentials + "rate: 0\n":                                        false,
		"tenant: acme\n" + credentials + "rate: fast\n":                                     false,
		"tenant: acme\n" + credentials + "in_flight: 0\n":                                   false,
		"tenant: acme\n" + credentials + "in_flight: 2.5\n":                                 false,
		"tenant: acme\n" + credentials + "wieght: 3\n":                                      false,
		"tenant: acme\napns: {certifcate: acme.pem}\n":                                      false,
		"tenant: acme\napns: acme.pem\n":                                                    false,
		"tenant: acme\nfcm: {}\n":                                                           false,
		"tenant: acme\nfcm: {service_account: [acme.json]}\n":                               false,
		"tenant: acme\nfcm: {service_account: acme.json}\napns: {key: '-----BEGIN PRIV'}\n": false,
		"- tenant\n": false,
	} {
		value, fine := asEditorsDo([]byte(text))
		if taken := fine && s.Validate(value) == nil; taken != want {
			t.Errorf("taken by the schema is %v, want %v:\n%s", taken, want, text)
		}
		c.write("acme.yaml", text)
		if _, faults := providers.LoadTenants(c.dir); (len(faults) == 0) != want {
			t.Errorf("want %v of the loader, its faults are %v:\n%s", want, faults, text)
		}
	}
	for name, key := range tenantSchema().Properties {
		if key.Description == "" || key.Type == nil {
			t.Errorf("%s has no description or type", name)
		}
		for below, key := range key.Properties {
			if key.Description == "" || key.Type == nil {
				t.Errorf("%s.%s has no description or type", name, below)
			}
		}
	}
}
