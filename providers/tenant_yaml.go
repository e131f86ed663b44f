package providers

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is a tenant file with the places of its keys, and the faults found so far.
type document struct {
	path   string
	lines  map[string]int // by key, with the section before a dot
	faults []error
}

// check notes a fault, if err is one, with file and the line of the innermost key that is there.
func (d *document) check(err error, key ...string) {
	if err == nil {
		return
	}
	line := 1
	for end := len(key); end > 0; end-- {
		if l, ok := d.lines[strings.Join(key[:end], ".")]; ok {
			line = l
			break
		}
	}
	d.faults = append(d.faults, fmt.Errorf("%s:%d: %w", d.path, line, err))
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// readTenantFile decodes a tenant file strictly: one document, no unknown key, no key twice. Where the values are of
// the right kind it gives the fields, so that they can be checked further even if a key beside them is wrong.
func readTenantFile(path string) (*document, *tenantFile) {
	doc := &document{path: path, lines: make(map[string]int)}
	file, err := os.Open(path)
	if err != nil {
		doc.faults = append(doc.faults, err)
		return doc, nil
	}
	defer file.Close()
	decoder := yaml.NewDecoder(io.LimitReader(file, maxCredentialFile))
	var root yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		doc.check(errors.New("the file is empty"))
		return doc, nil
	} else if err != nil {
		doc.faults = append(doc.faults, fmt.Errorf("%s: %w", path, err))
		return doc, nil
	}
	doc.walk(root.Content[0], reflect.TypeFor[tenantFile](), "")
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		doc.check(errors.New("a second document follows: give each tenant a file of its own"))
	}
	fields := new(tenantFile)
	if err := root.Decode(fields); err != nil {
		if len(doc.faults) == 0 {
			doc.faults = append(doc.faults, fmt.Errorf("%s: %w", path, err))
		}
		return doc, nil
	}
	return doc, fields
}

// walk notes where each key stands and refuses those that shape does not have.
func (d *document) walk(node *yaml.Node, shape reflect.Type, prefix string) {
	if node.Kind != yaml.MappingNode {
		d.lines[strings.TrimSuffix(prefix, ".")] = node.Line
		d.check(errors.New("keys and values are expected here"), strings.TrimSuffix(prefix, "."))
		return
	}
	fields := make(map[string]reflect.Type)
	for field := range shape.Fields() {
		fields[field.Tag.Get("yaml")] = field.Type
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := prefix + key.Value
		field, known := fields[key.Value]
		_, twice := d.lines[name]
		d.lines[name] = key.Line
		switch {
		case twice:
			d.check(fmt.Errorf("key %q stands here a second time", name), name)
		case !known:
			d.check(fmt.Errorf("key %q is not known%s", name, suggestion(key.Value, fields)), name)
		case field.Kind() == reflect.Pointer && field.Elem().Kind() == reflect.Struct:
			d.walk(value, field.Elem(), name+".")
		}
	}
}

// suggestion names the known key that is nearest to a wrong one, if one is near.
func suggestion[V any](wrong string, known map[string]V) string {
	best, nearest := "", 1+max(2, len(wrong)/3)
	for name := range known {
		if d := distance(wrong, name); d < nearest || d == nearest && name < best {
			best, nearest = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is how many letters must be put in, taken out or changed to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// onlyCertificates says whether data is PEM without any secret in it.
func onlyCertificates(data []byte) bool {
	found := false
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found && !strings.Contains(string(data), "PRIVATE KEY")
		}
		if block.Type != "CERTIFICATE" {
			return false
		}
		found = true
	}
}
