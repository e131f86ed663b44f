package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the module's directory.
const root = "../.."

var (
	testNamed    = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	historyNamed = regexp.MustCompile("history `([a-z0-9-]+)`")
	ordealNamed  = regexp.MustCompile("`torture ([a-z0-9-]+)`")
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// testsOfTheTree are all tests and fuzz targets that there are.
func testsOfTheTree(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, f := range testFunction.FindAllSubmatch(content, -1) {
			all[string(f[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatTheReliabilityDocumentNamesExists(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	doc, tests := string(content), testsOfTheTree(t)
	names := func(pattern *regexp.Regexp, least int, exists func(name string) bool) {
		found := pattern.FindAllStringSubmatch(doc, -1)
		if len(found) < least {
			t.Errorf("only %d are named like %v", len(found), pattern)
		}
		for _, f := range found {
			if !exists(f[1]) {
				t.Errorf("docs/reliability.md names %s, which is not there", f[0])
			}
		}
	}
	names(testNamed, 50, func(name string) bool { return tests[name] })
	names(historyNamed, 4, func(name string) bool {
		_, err := os.Stat(filepath.Join(root, "dispatcher", "testdata", "histories", name))
		return err == nil
	})
	known := make(map[string]bool)
	for _, o := range ordeals {
		known[o.name] = true
		if !strings.Contains(doc, "`torture "+o.name+"`") {
			t.Errorf("docs/reliability.md does not say what the ordeal %s is", o.name)
		}
	}
	names(ordealNamed, len(ordeals), func(name string) bool { return known[name] })
}

// Each row of the failure table says what shows it.
func TestEachRowOfTheFailureTableHasATest(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \|.*$`).FindAllStringSubmatch(string(content), -1)
	if len(rows) != 20 {
		t.Errorf("the failure table has %d rows, not 20", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(row[0], " | ")
		shown := cells[len(cells)-1]
		if !testNamed.MatchString(shown) && !ordealNamed.MatchString(shown) {
			t.Errorf("row %s names no test", row[1])
		}
	}
}
