package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// keysOf are the keys of a type, in YAML or JSON, and of all that it has.
func keysOf(t reflect.Type, format string, known map[string]bool) {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		keysOf(t.Elem(), format, known)
	case reflect.Struct:
		for i := range t.NumField() {
			if key, _, _ := strings.Cut(t.Field(i).Tag.Get(format), ","); key != "" {
				known[key] = true
				keysOf(t.Field(i).Type, format, known)
			}
		}
	}
}

func TestEveryKeyOfAScenarioAndOfAResultIsInTheDocument(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../docs/loadtest.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	keysOf(reflect.TypeFor[Scenario](), "yaml", known)
	keysOf(reflect.TypeFor[Result](), "json", known)
	keysOf(reflect.TypeFor[RampResult](), "json", known)
	keysOf(reflect.TypeFor[Backlog](), "json", known)
	keysOf(reflect.TypeFor[Comparison](), "json", known)
	if len(known) < 90 {
		t.Fatalf("only %d keys are found", len(known))
	}
	for key := range known {
		if doc := string(content); !strings.Contains(doc, "`"+key+"`") && !strings.Contains(doc, key+": ") {
			t.Errorf("docs/loadtest.md does not say what %s is", key)
		}
	}
}
