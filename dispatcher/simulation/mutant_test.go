package main

import (
	"strings"
	"testing"
)

// TestEveryMutantHasItsPlace: mutants are brought along when the source that they change is changed.
func TestEveryMutantHasItsPlace(t *testing.T) {
	t.Parallel()
	mutants, err := readMutants("")
	if err != nil {
		t.Fatal(err)
	}
	b := builder{root: "../..", dir: t.TempDir()}
	if _, err := b.overlay(mutants); err != nil {
		t.Error(err)
	}
}

const source = `package engine

func add(a, b int) int { return a + b }

func (c *core) count() {
	c.n++
}

const limit = 3
`

func TestMutantsShareASource(t *testing.T) {
	t.Parallel()
	var mutants []mutant
	for name, text := range map[string]string{
		"minus": "Subtracts.\n@ core.go\n-func add(a, b int) int { return a + b }\n+func add(a, b int) int { return a - b }\n",
		"down":  "Counts down.\n@ core.go\n-\tc.n++\n+\tc.n--\n",
	} {
		m, err := parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		mutants = append(mutants, m)
	}
	got, pkg, err := withMutants("core.go", source, mutants)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		"{ return a + b }", "{\nif simulationMutant == \"minus\" { return a - b \n}\n return a + b }",
		"{\n\tc.n++", "{\nif simulationMutant == \"down\" {\n\tc.n--\n\nreturn\n}\n\n\tc.n++",
	).Replace(source)
	if pkg != "engine" || got != want {
		t.Errorf("package %s:\n%s\nwant:\n%s", pkg, got, want)
	}
}

func TestAMutantChangesBodiesOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"More.\n@ core.go\n-const limit = 3\n+const limit = 4\n":                     "more of core.go than the bodies",
		"Another.\n@ core.go\n-func (c *core) count() {\n+func (c *core) tell() {\n": "more of core.go than the bodies",
		"Gone.\n@ core.go\n-\tc.n += 2\n":                                            "found 0 times",
		"Broken.\n@ core.go\n-\tc.n++\n+\tc.n+++\n":                                  "core.go:6",
	} {
		m, err := parse("m", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := withMutants("core.go", source, []mutant{m}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
