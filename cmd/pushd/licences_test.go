package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
)

// linkedModule is a module that the binary has code of.
type linkedModule struct {
	Path    string
	Version string
	Dir     string
}

// linkedModules are the modules that "pushd" is linked from, sorted by path.
func linkedModules(t *testing.T) []linkedModule {
	t.Helper()
	var stderr bytes.Buffer
	list := exec.Command("go", "list", "-deps", "-json=Module", "pushd/cmd/pushd")
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	byPath := map[string]linkedModule{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg struct{ Module *linkedModule }
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if pkg.Module != nil && pkg.Module.Path != "pushd" {
			byPath[pkg.Module.Path] = *pkg.Module
		}
	}
	var modules []linkedModule
	for _, module := range byPath {
		modules = append(modules, module)
	}
	slices.SortFunc(modules, func(a, b linkedModule) int { return strings.Compare(a.Path, b.Path) })
	return modules
}

// taken are the licences under which others' code is taken: they ask for no more than that their text goes along.
var taken = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0"}

// licences are those of a module, by the texts in its directory.
func licences(t *testing.T, module linkedModule) []string {
	t.Helper()
	var ids []string
	for _, pattern := range []string{"LICENSE*", "LICENCE*", "COPYING*", "License*", "license*"} {
		paths, err := filepath.Glob(filepath.Join(module.Dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil || info.IsDir() {
				continue // texts of what a module took over from others, under the module's own licence
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range licensecheck.Scan(text).Match {
				if !slices.Contains(ids, match.ID) {
					ids = append(ids, match.ID)
				}
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// docs/licences.md is what a distributor has to know; -update writes it.
func TestEveryLinkedModuleHasALicenceThatIsTaken(t *testing.T) {
	t.Parallel()
	var list strings.Builder
	list.WriteString("# Licences\n\nThe modules that `pushd` is linked from, with the licences that their files hold. Written by `go test ./cmd/pushd -update`; a test fails on a\n" +
		"licence that asks for more than its text. `pushd version --sbom` lists the same modules, with their hashes.\n\n| module | licence |\n|---|---|\n")
	modules := linkedModules(t)
	for _, module := range modules {
		ids := licences(t, module)
		for _, id := range ids {
			if !slices.Contains(taken, id) {
				t.Errorf("%s has the licence %s, which is not among %v: look at what it asks for", module.Path, id, taken)
			}
		}
		if len(ids) == 0 {
			t.Errorf("%s has no licence that is known, in %s", module.Path, module.Dir)
		}
		fmt.Fprintf(&list, "| `%s` | %s |\n", module.Path, strings.Join(ids, ", "))
	}
	if len(modules) < 20 {
		t.Fatalf("only %d modules are linked", len(modules))
	}
	golden(t, "../../docs/licences.md", list.String())
}

// budget is how many modules the daemon's own code may import. More is a decision, and not a habit.
const budget = 25

func TestTheDependenciesStayWithinTheirBudget(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, daemon, _ := strings.Cut(string(text), "## In the daemon")
	daemon, _, _ = strings.Cut(daemon, "## For development")
	if n := strings.Count(daemon, "\n| `"); n < 5 || n > budget {
		t.Errorf("the daemon imports %d modules, the budget is %d", n, budget)
	}
}
