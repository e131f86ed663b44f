package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// eachSourceFile parses every file of the module.
func eachSourceFile(t *testing.T, look func(path string, files *token.FileSet, file *ast.File)) {
	t.Helper()
	files := token.NewFileSet()
	read := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		read++
		look(path, files, file)
		return nil
	})
	if err != nil || read < 300 {
		t.Fatalf("%d files were read: %v", read, err)
	}
}

// Nowhere, not even in a test, is a server believed without a look at its certificate; and outside of the simulators no
// TLS below 1.2 is spoken.
func TestEveryServersCertificateIsVerified(t *testing.T) {
	t.Parallel()
	const forbidden = "Insecure" + "SkipVerify"
	configs := 0
	eachSourceFile(t, func(path string, files *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.Ident:
				if n.Name == forbidden {
					t.Errorf("%s: %s: give the test's authority instead", files.Position(n.Pos()), forbidden)
				}
			case *ast.CompositeLit:
				is, ok := n.Type.(*ast.SelectorExpr)
				if !ok || is.Sel.Name != "Config" || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "simulator") {
					break
				}
				if pkg, ok := is.X.(*ast.Ident); ok && pkg.Name == "tls" {
					configs++
					if !setsMinVersion(n) {
						t.Errorf("%s: a tls.Config without MinVersion", files.Position(n.Pos()))
					}
				}
			}
			return true
		})
	})
	if configs < 2 { // of the providers, of Kafka
		t.Errorf("%d configurations of TLS were found", configs)
	}
}

func setsMinVersion(config *ast.CompositeLit) bool {
	for _, element := range config.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name == "MinVersion" {
				return true
			}
		}
	}
	return false
}
