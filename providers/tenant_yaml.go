package providers

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"

	"pushd/providers/spelling"
)

// document is a tenant file with the places of its keys, the files read for it, and the faults found so far.
type document struct {
	path   string
	lines  map[string]int // by key, with the section before a dot
	files  []namedFile
	faults []Fault
}

// Fault is one thing that is wrong with a tenant's file, or with a file that it names.
type Fault struct {
	File   string // the tenant's file, or the directory of them
	Line   int    // in it; 0 where the fault is no line's
	Key    string // the key that it is about, with its section before a dot; empty where it is about the whole file
	Tenant string // whose wakes wait for the fault to be mended; empty where its name cannot be read
	// Provider is the one whose credential cannot be used; empty where no credential of the file can.
	Provider string
	What     error
}

func (f Fault) Error() string {
	place := f.File
	if f.Line > 0 {
		place += fmt.Sprintf(":%d", f.Line)
	}
	if f.Key != "" {
		place += ": " + f.Key
	}
	return fmt.Sprintf("%s: %v", place, f.What)
}

func (f Fault) Unwrap() error { return f.What }

// check notes the faults that err is, if it is one, of a key that has its section before a dot; "" is the file. What is
// found later of a key that has a fault already only follows from that.
func (d *document) check(key string, err error) {
	if key != "" && slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Key == key }) {
		return
	}
	provider, _, _ := strings.Cut(key, ".")
	if provider != APNs && provider != FCM {
		provider = ""
	}
	for _, what := range joined(err) {
		d.faults = append(d.faults, Fault{File: d.path, Line: d.line(key), Key: key, Provider: provider, What: what})
	}
}

// line is where a key stands, or, where it does not, what it would stand in.
func (d *document) line(key string) int {
	for ; key != ""; key = key[:max(strings.LastIndexByte(key, '.'), 0)] {
		if line, ok := d.lines[key]; ok {
			return line
		}
	}
	return 1
}

// joined takes errors.Join apart.
func joined(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// namedFile is a file, and what it was when it was opened to be read: a later look says whether it is still that.
type namedFile struct {
	path string
	was  os.FileInfo // nil where it could not be opened
}

// open opens a file to be read, and notes what it is. Nothing but a regular file is read: whoever opens a named pipe waits
// for its writer, and every other tenant with him.
func (d *document) open(path string) (*os.File, error) {
	d.files = append(d.files, namedFile{path: path})
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file; put one there", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	d.files[len(d.files)-1].was = info
	return file, nil
}

// readTenantFile decodes a tenant file strictly: one document, no unknown key, no key twice. It gives the fields that
// could be read, so that they can be checked further even if a key beside them is wrong.
func readTenantFile(path string) (*document, *TenantFile) {
	doc := &document{path: path, lines: make(map[string]int)}
	file, err := doc.open(path)
	if err != nil {
		doc.faults = append(doc.faults, Fault{File: path, What: err})
		return doc, nil
	}
	defer file.Close()
	decoder := yaml.NewDecoder(io.LimitReader(file, maxCredentialFile))
	var root yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		doc.check("", errors.New("the file is empty"))
		return doc, nil
	} else if err != nil {
		doc.yamlFault(err.Error())
		return doc, nil
	}
	doc.walk(root.Content[0], reflect.TypeFor[TenantFile](), "")
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		doc.check("", errors.New("a second document follows: give each tenant a file of its own"))
	}
	fields := new(TenantFile)
	err = root.Decode(fields)
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		for _, what := range wrong.Errors {
			doc.yamlFault(what)
		}
	} else if err != nil {
		doc.yamlFault(err.Error())
		return doc, nil
	}
	return doc, fields
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// yamlFault notes what the YAML parser says, which names the line in its text. Where a fault of that line is known
// already, it is the same one, said better and without the value.
func (d *document) yamlFault(text string) {
	fault := Fault{File: d.path, Line: 1, What: errors.New(text)}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if m[1] != "" {
			fault.Line, _ = strconv.Atoi(m[1]) // the pattern has digits only
		}
		fault.What = errors.New("this is not YAML as it has to be, here or just below: " + m[2])
	}
	if !slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Line == fault.Line }) {
		d.faults = append(d.faults, fault)
	}
}

// walk notes where each key stands, and refuses those that shape does not have and values of another kind.
func (d *document) walk(node *yaml.Node, shape reflect.Type, section string) {
	if node.Kind != yaml.MappingNode {
		d.lines[section] = node.Line
		d.check(section, errors.New("keys and values are expected here"))
		return
	}
	fields := make(map[string]reflect.Type)
	var names []string
	for field := range shape.Fields() {
		name := field.Tag.Get("yaml")
		fields[name], names = field.Type, append(names, name)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i].Value, node.Content[i+1]
		key := name
		if section != "" {
			key = section + "." + name
		}
		field, known := fields[name]
		first, twice := d.lines[key]
		d.lines[key] = node.Content[i].Line
		switch {
		case twice:
			d.check(key, fmt.Errorf("stands here a second time, line %d has it already; keep one", first))
		case !known:
			d.check(key, errors.New("there is no such key"+spelling.DidYouMean(name, names)))
		case section == "" && isSection(field):
			d.walk(value, field.Elem(), key)
		default:
			d.check(key, kindFault(value, field))
		}
	}
}

// isSection says whether keys stand below one of this type.
func isSection(field reflect.Type) bool {
	return field.Kind() == reflect.Pointer && field.Elem().Kind() == reflect.Struct
}

// kindFault says what is wrong with a value that its field cannot hold. It does not repeat the value: that may be a secret.
func kindFault(value *yaml.Node, field reflect.Type) error {
	decodes := value.Kind == yaml.ScalarNode && value.Decode(reflect.New(field).Interface()) == nil
	if field.Kind() == reflect.Pointer {
		field = field.Elem()
	}
	if fraction := field.Kind() == reflect.Int && value.ShortTag() == "!!float"; decodes && !fraction { // YAML would cut it off
		return nil
	}
	switch field.Kind() {
	case reflect.Int:
		return errors.New("is not a whole number; write it in digits, such as 250")
	case reflect.Float64:
		return errors.New("is not a number; write it in digits, such as 500 or 0.5")
	}
	return errors.New("is not one plain value")
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
