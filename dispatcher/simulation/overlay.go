package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// mutantVariable tells a process of the mutants' binary which of them it is to play.
const mutantVariable = "PUSHD_SIMULATION_MUTANT"

// switchFile is added to each package that has mutants. Only the overlay has it: nothing of it is in the product's source.
const switchFile = `package %s

import "os"

var simulationMutant = os.Getenv("` + mutantVariable + `")
`

// overlay writes what `go build -overlay` needs for one binary with all mutants. Each function that a mutant changes gets the
// mutant's body before its own:
//
//	func (w *Window) Watermark() int64 {
//		if simulationMutant == "commits-highest" { return w.next }
//		return w.watermark
//	}
func (b *builder) overlay(mutants []mutant) (string, error) {
	var replace struct{ Replace map[string]string }
	replace.Replace = make(map[string]string)
	add := func(path, source string) error {
		made := filepath.Join(b.dir, fmt.Sprintf("%d.go", len(replace.Replace)))
		replace.Replace[path] = made
		return os.WriteFile(made, []byte(source), 0o600)
	}
	byFile := make(map[string][]mutant)
	for _, m := range mutants {
		for _, file := range m.files() {
			byFile[file] = append(byFile[file], m)
		}
	}
	for file, mutants := range byFile {
		path := filepath.Join(b.root, file)
		source, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		switched, pkg, err := withMutants(file, string(source), mutants)
		if err != nil {
			return "", err
		}
		if err := add(path, switched); err != nil {
			return "", err
		}
		one := filepath.Join(filepath.Dir(path), "simulation_mutant.go")
		if _, ok := replace.Replace[one]; ok {
			continue
		}
		if err := add(one, fmt.Sprintf(switchFile, pkg)); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(replace)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}

// withMutants is a file's source with the bodies that the mutants give its functions, and the name of its package.
func withMutants(file, source string, mutants []mutant) (switched, pkg string, err error) {
	own, pkg, err := functions(file, source)
	if err != nil {
		return "", "", err
	}
	before := make([]string, len(own)) // what is put before the body of each function
	for _, m := range mutants {
		applied, err := m.applied(file, source)
		if err != nil {
			return "", "", err
		}
		changed, _, err := functions(file, applied)
		if err != nil {
			return "", "", fmt.Errorf("mutant %s: %w", m.name, err)
		}
		rest := source
		for i := range min(len(own), len(changed)) {
			if own[i].body == changed[i].body {
				continue
			}
			rest = strings.Replace(rest, own[i].body, changed[i].body, 1)
			before[i] += fmt.Sprintf("\nif simulationMutant == %q {%s", m.name, changed[i].body)
			if !own[i].returns {
				before[i] += "\nreturn"
			}
			before[i] += "\n}\n"
		}
		if rest != applied {
			return "", "", fmt.Errorf("mutant %s changes more of %s than the bodies of functions", m.name, file)
		}
	}
	var b strings.Builder
	end := 0
	for i, f := range own {
		b.WriteString(source[end:f.begins])
		b.WriteString(before[i])
		end = f.begins
	}
	b.WriteString(source[end:])
	return b.String(), pkg, nil
}

// function is a function of a file that has a body.
type function struct {
	begins  int    // where its body does
	body    string // without braces
	returns bool   // something
}

// functions are the functions of a file, and the name of its package.
func functions(file, source string) ([]function, string, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, "", err
	}
	var all []function
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			begins, ends := set.Position(f.Body.Lbrace).Offset+1, set.Position(f.Body.Rbrace).Offset
			all = append(all, function{begins, source[begins:ends], f.Type.Results != nil})
		}
	}
	return all, parsed.Name.Name, nil
}
