package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// listedPackage is what "go list -json" tells of a package.
type listedPackage struct {
	ImportPath   string
	Imports      []string // of the code; tests may import what they like
	TestImports  []string
	XTestImports []string
}

// importRule says what the packages below a path may import. The first rule that covers a package is its rule.
type importRule struct {
	path    string   // a package and everything below it, without the module's name
	house   []string // packages of pushd that it may import, and everything below them; its own path not implied
	never   []string // other packages that it may not import
	because string
}

// everything lets a rule's packages import all of pushd.
var everything = []string{""}

// importTable is the direction of imports, as the package docs promise it.
var importTable = []importRule{
	{path: "queue/event", because: "the topic contract stands alone"},
	{path: "queue/kafkatest", house: []string{"queue"}, because: "it is a suite about queue"},
	{path: "queue", house: []string{"queue"}, because: "queue knows no tokens, tenants or providers (I6)"},
	{path: "store", because: "the ledger knows neither's rules (I6)"},
	{path: "providers", house: []string{"providers"}, because: "providers know no offsets (I6)"},
	{
		path: "dispatcher", house: []string{"queue/event", "=queue", "=store", "=providers"},
		never:   []string{"github.com/segmentio/kafka-go", "github.com/cockroachdb/pebble", "net/http", "golang.org/x/net/http2"},
		because: "the engine takes types, and does no I/O",
	},
	{path: "cmd/pushd", house: everything},
	{path: "bench", house: everything},
	{path: "loadtest", house: everything},
}

// onlyIn are packages that belong to some places only.
var onlyIn = []struct {
	imported string
	places   []string
	because  string
}{
	{"testing", []string{"queue/kafkatest", "providers/conformance", "bench"}, "a daemon carries no test library"},
	{"github.com/Shopify/toxiproxy", []string{"loadtest/torture"}, "a daemon carries no test library"},
	{"go.uber.org/goleak", nil, "a daemon carries no test library"},
	{"github.com/cockroachdb/datadriven", nil, "a daemon carries no test library"},
	{"pushd/queue/kafkatest", []string{"loadtest/torture"}, "a daemon carries no test suite"},
	{"pushd/providers/conformance", nil, "a daemon carries no test suite"},
	{"github.com/twmb/franz-go/pkg/kgo", []string{"bench"}, "kafka-go is the client"},
	{"github.com/twmb/franz-go/pkg/kfake", []string{"queue/embedded", "bench"}, "the fake broker is for demo and development"},
	{"github.com/twmb/franz-go/pkg/kmsg", []string{"=queue", "bench"}, "kafka-go is the client; kmsg has the one message that it lacks"},
	{"pushd/queue/embedded", []string{"cmd/pushd", "bench", "loadtest"}, "the embedded broker is no part of the engine"},
	{"pushd/providers/simulator", []string{"cmd/pushd", "bench", "loadtest", "providers/conformance"}, "the simulators are no part of the engine"},
}

// covers says whether a package is path or below it; a path that begins with "=" covers itself only.
func covers(path, pkg string) bool {
	if exact, ok := strings.CutPrefix(path, "="); ok {
		return pkg == exact
	}
	return path == "" || pkg == path || strings.HasPrefix(pkg, path+"/")
}

func coversAny(paths []string, pkg string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return covers(path, pkg) })
}

// checkImports returns every import that the table forbids.
func checkImports(packages []listedPackage) []string {
	var faults []string
	for _, pkg := range packages {
		name := strings.TrimPrefix(pkg.ImportPath, "pushd/")
		i := slices.IndexFunc(importTable, func(rule importRule) bool { return covers(rule.path, name) })
		if i < 0 {
			faults = append(faults, name+" is not in the import table: say there what it may import")
			continue
		}
		rule := importTable[i]
		for _, imported := range pkg.Imports {
			house, isHouse := strings.CutPrefix(imported, "pushd/")
			if isHouse && !coversAny(rule.house, house) || !isHouse && coversAny(rule.never, imported) {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", name, imported, rule.because))
			}
			for _, only := range onlyIn {
				if covers(only.imported, imported) && !covers(strings.TrimPrefix(only.imported, "pushd/"), name) && !coversAny(only.places, name) {
					faults = append(faults, fmt.Sprintf("%s imports %s: %s", name, imported, only.because))
				}
			}
		}
	}
	return faults
}

// listPackages lists the packages of this module, with their tests' imports.
func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	var stderr bytes.Buffer
	list := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "pushd/...")
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listedPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg listedPackage
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, pkg)
	}
	if len(packages) < 5 {
		t.Fatalf("only %d packages are listed", len(packages))
	}
	return packages
}

func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	for _, fault := range checkImports(listPackages(t)) {
		t.Error(fault)
	}
}

// TestLeaksFailEveryPackage: where there are tests, they fail if one of them leaves a goroutine behind.
func TestLeaksFailEveryPackage(t *testing.T) {
	t.Parallel()
	for _, pkg := range listPackages(t) {
		imports := append(pkg.TestImports, pkg.XTestImports...)
		if len(imports) > 0 && !slices.Contains(imports, "go.uber.org/goleak") {
			t.Errorf("%s: its tests have no TestMain with goleak", pkg.ImportPath)
		}
	}
}

func TestTheImportTableRefusesEveryWrongWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg, imported string
		fine          bool
	}{
		{"queue", "pushd/queue/event", true},
		{"queue", "pushd/store", false},
		{"queue", "pushd/providers", false},
		{"queue", "pushd/dispatcher", false},
		{"queue", "github.com/segmentio/kafka-go", true},
		{"queue", "github.com/twmb/franz-go/pkg/kfake", false},
		{"queue", "github.com/twmb/franz-go/pkg/kgo", false},
		{"queue", "github.com/twmb/franz-go/pkg/kmsg", true},
		{"store", "github.com/twmb/franz-go/pkg/kmsg", false},
		{"queue/embedded", "github.com/twmb/franz-go/pkg/kfake", true},
		{"queue/event", "pushd/queue", false},
		{"queue/event", "encoding/json", true},
		{"queue/kafkatest", "testing", true},
		{"queue/kafkatest/kafka", "os/exec", true},
		{"store", "pushd/queue", false},
		{"store", "pushd/providers", false},
		{"store", "github.com/cockroachdb/pebble/v2", true},
		{"store", "testing", false},
		{"providers", "pushd/queue/event", false},
		{"providers/apns", "pushd/providers", true},
		{"providers/apns", "pushd/providers/http2", true},
		{"providers/apns", "pushd/store", false},
		{"providers/fcm", "pushd/dispatcher", false},
		{"providers/fcm", "pushd/providers/simulator", false},
		{"providers/simulator", "pushd/providers/simulator/pki", true},
		{"providers/conformance", "testing", true},
		{"providers/conformance", "pushd/providers/simulator", true},
		{"providers/apns", "pushd/providers/conformance", false},
		{"dispatcher", "pushd/queue", true},
		{"dispatcher", "pushd/queue/event", true},
		{"dispatcher", "pushd/queue/embedded", false},
		{"dispatcher", "pushd/store", true},
		{"dispatcher", "pushd/providers", true},
		{"dispatcher", "pushd/providers/apns", false},
		{"dispatcher", "pushd/cmd/pushd", false},
		{"dispatcher", "github.com/segmentio/kafka-go", false},
		{"dispatcher", "github.com/cockroachdb/pebble/v2", false},
		{"dispatcher", "net/http", false},
		{"dispatcher", "go.uber.org/goleak", false},
		{"dispatcher", "testing/synctest", false},
		{"cmd/pushd", "pushd/queue/embedded", true},
		{"cmd/pushd", "pushd/queue/kafkatest", false},
		{"cmd/pushd", "testing", false},
		{"loadtest", "pushd/dispatcher", true},
		{"util", "strings", false},
	} {
		faults := checkImports([]listedPackage{{ImportPath: "pushd/" + c.pkg, Imports: []string{c.imported}}})
		if fine := len(faults) == 0; fine != c.fine {
			t.Errorf("%s imports %s: allowed is %v, want %v (%v)", c.pkg, c.imported, fine, c.fine, faults)
		}
	}
	tests := []listedPackage{{ImportPath: "pushd/dispatcher", TestImports: []string{"testing", "pushd/queue/embedded"}}}
	if faults := checkImports(tests); len(faults) > 0 {
		t.Errorf("tests may import everything: %v", faults)
	}
}
