package main

import (
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// identifiers are the rules that SECURITY.md has to answer, by letter how many.
var identifiers = map[string]int{"S": 9, "N": 6, "I": 7, "A": 4, "P": 4, "C": 3}

// SECURITY.md answers each rule once, with tests that exist.
func TestTheSecurityListIsWhole(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	eachSourceFile(t, func(path string, _ *token.FileSet, file *ast.File) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, declaration := range file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
				tests[function.Name.Name] = true
			}
		}
	})
	rows := regexp.MustCompile(`(?m)^\| ([A-Z])([1-9]) \|[^|]+\|([^|]+)\|([^|]*)\|$`).FindAllStringSubmatch(string(text), -1)
	answered := map[string]int{}
	seen := map[string]bool{}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")
	for _, row := range rows {
		id, how, shown := row[1]+row[2], row[3], row[4]
		if seen[id] {
			t.Errorf("%s stands there twice", id)
		}
		seen[id] = true
		answered[row[1]]++
		names := named.FindAllStringSubmatch(shown, -1)
		for _, name := range names {
			if !tests[name[1]] {
				t.Errorf("%s: there is no test %s", id, name[1])
			}
		}
		if stated := strings.Contains(how, "oes not apply") || strings.Contains(how, "ships no") || strings.Contains(how, "`make "); len(names) == 0 && !stated {
			t.Errorf("%s is shown by nothing", id)
		}
	}
	for letter, n := range identifiers {
		if answered[letter] != n {
			t.Errorf("%d rules of %s are answered, there are %d", answered[letter], letter, n)
		}
	}
}
