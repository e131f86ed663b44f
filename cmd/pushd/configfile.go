package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"pushd/providers/spelling"
)

// maxConfigFile bounds what is read as a configuration file: a wrong path must not fill the memory.
const maxConfigFile = 1 << 20

// configFile is a YAML file read against the catalogue: the values of the settings that it knows, and everything that is
// wrong with it.
type configFile struct {
	path   string
	known  *catalogue
	values map[string]fileValue
	faults []fault
	unread bool // it is not settings at all: nobody knows what it would have set
}

// fileValue is a value as it stands in the file; a list is its elements, joined as on the command line.
type fileValue struct {
	text string
	line int
}

// openConfigFile reads path; that it cannot be read is a fault like another.
func openConfigFile(path string, known *catalogue) *configFile {
	file, err := readConfigFile(path, known)
	if err != nil {
		return &configFile{path: path, faults: []fault{{where: path, what: unreadable(path, err)}}, unread: true}
	}
	return file
}

// unreadable is why path cannot be read, without its name, which stands before it.
func unreadable(path string, err error) string {
	var cause *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file; name the configuration with --config FILE or PUSHD_CONFIG"
	case errors.As(err, &cause):
		return fmt.Sprintf("cannot be read: %v; --config or PUSHD_CONFIG has to name a file that this user can read", cause.Err)
	}
	return strings.TrimPrefix(err.Error(), path+" ")
}

// readConfigFile reads path. An error means that there is no file to read; what is wrong in it are its faults.
func readConfigFile(path string, known *catalogue) (*configFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the path and the operation
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxConfigFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB; is it the configuration?", path)
	}
	return parseConfigFile(path, content, known), nil
}

func parseConfigFile(path string, content []byte, known *catalogue) *configFile {
	file := &configFile{path: path, known: known, values: map[string]fileValue{}}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return file // an empty file: the defaults
	}
	if err != nil {
		file.syntaxFault(err)
		return file
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return file
	}
	if root.Kind != yaml.MappingNode {
		file.unread = true
		file.fault(root, "", "a configuration is settings, such as \"log:\" and below it \"level: info\"")
		return file
	}
	file.section("", root)
	if err := decoder.Decode(&second); err == nil {
		file.fault(&second, "", "a second document begins here; a configuration is one document, remove the \"---\"")
	} else if !errors.Is(err, io.EOF) {
		file.syntaxFault(err)
	}
	return file
}

// section reads the settings and sections below key.
func (f *configFile) section(key string, node *yaml.Node) {
	first := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		nameNode, value := node.Content[i], node.Content[i+1]
		full := join(key, nameNode.Value)
		switch line, again := first[nameNode.Value]; {
		case nameNode.Kind != yaml.ScalarNode || nameNode.Tag == "!!merge":
			f.fault(nameNode, key, "only plain names can stand before a colon here; write the settings out")
			continue
		case value.Kind == yaml.AliasNode:
			f.fault(nameNode, full, "aliases are not supported; write the value out")
			continue
		case again:
			f.fault(nameNode, full, fmt.Sprintf("is set twice, line %d has it already; keep one", line))
			continue
		}
		first[nameNode.Value] = nameNode.Line
		switch {
		case f.known.byKey[full] != nil && !strings.Contains(nameNode.Value, "."):
			f.setting(full, value)
		case f.known.isSection(full) && !strings.Contains(nameNode.Value, "."):
			f.subsection(full, value)
		default:
			f.unknown(key, nameNode)
		}
	}
}

func (f *configFile) subsection(key string, node *yaml.Node) {
	switch {
	case node.Kind == yaml.MappingNode:
		f.section(key, node)
	case node.Tag == "!!null": // all of its settings are commented out
	default:
		f.fault(node, key, fmt.Sprintf("is a section; write its settings below it, such as \"%s: ...\"", f.known.below[key][0]))
	}
}

func (f *configFile) setting(key string, node *yaml.Node) {
	_, name := cutLast(key)
	flag := f.known.byKey[key]
	var text string
	switch {
	case node.Kind == yaml.SequenceNode && flag.IsSlice():
		elements := make([]string, 0, len(node.Content))
		for _, element := range node.Content {
			if element.Kind != yaml.ScalarNode || element.Tag == "!!null" {
				f.fault(element, key, "is a list of plain values; this element is not one")
				return
			}
			elements = append(elements, element.Value)
		}
		text = kong.JoinEscaped(elements, flag.Tag.Sep)
	case node.Kind == yaml.SequenceNode:
		f.fault(node, key, fmt.Sprintf("is one value, not a list; write \"%s: %s\"", name, example(flag)))
		return
	case node.Kind != yaml.ScalarNode:
		f.fault(node, key, fmt.Sprintf("is a value, not a section; write \"%s: %s\"", name, example(flag)))
		return
	case node.Tag == "!!null":
		what := "has no value; write one or remove the line"
		if flag.HasDefault && flag.Default != "" {
			what += fmt.Sprintf(" to have the default, %s", flag.Default)
		}
		f.fault(node, key, what)
		return
	default:
		text = node.Value
	}
	if err := f.known.decode(key, text); err != nil {
		f.fault(node, key, err.Error())
		return
	}
	f.values[key] = fileValue{text: text, line: node.Line}
}

// unknown says what may have been meant by a name that is no setting of the section. It never repeats the value: that
// may be a secret.
func (f *configFile) unknown(section string, node *yaml.Node) {
	name := node.Value
	key := join(section, name)
	what := "there is no such setting"
	switch suggestion := spelling.DidYouMean(name, f.known.below[section]); {
	case f.known.byKey[key] != nil: // a dotted name, as the flags have it
		above, last := cutLast(key)
		what = fmt.Sprintf("settings are nested in a file: write \"%s:\" and below it \"%s: ...\"", above, last)
	case suggestion != "":
		what += suggestion
	case f.elsewhere(name) != "":
		what += fmt.Sprintf(" (did you mean %q?)", f.elsewhere(name))
	default:
		what += "; here are: " + strings.Join(f.known.below[section], ", ")
	}
	f.fault(node, key, what)
}

// elsewhere is the full key of a setting that has this name in another section, or "".
func (f *configFile) elsewhere(name string) string {
	for _, flag := range f.known.order {
		if _, last := cutLast(flag.Name); last == name {
			return flag.Name
		}
	}
	return ""
}

func (f *configFile) fault(node *yaml.Node, key, what string) {
	f.faults = append(f.faults, fault{where: f.path, line: node.Line, key: key, what: what})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxFault turns an error of the YAML parser into a fault. The parser names the line where the construct began that it
// could not end, counted from 0 or 1, and none for the first: the slip is there or just below.
func (f *configFile) syntaxFault(err error) {
	found := fault{where: f.path, line: 1, what: "this is not YAML, here or just below: " + err.Error()}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		if m[1] != "" {
			found.line, _ = strconv.Atoi(m[1]) // the pattern has digits only
		}
		found.what = "this is not YAML, here or just below: " + m[2]
	}
	f.faults, f.unread = append(f.faults, found), true
}

// example is a value that a setting can have.
func example(flag *kong.Flag) string {
	if flag.HasDefault && flag.Default != "" {
		return flag.Default
	}
	return "..."
}
