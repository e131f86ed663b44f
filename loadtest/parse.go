package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"pushd/loadtest/stage"
	"pushd/providers/simulator"
)

// faults are all that is wrong with a scenario's file.
type faults struct {
	file string
	root yaml.Node
	all  []fault
}

type fault struct {
	line int
	what string
}

// place leads to a value of the file: keys, and places in lists.
type place []any

func (f *faults) add(line int, what string) { f.all = append(f.all, fault{line, what}) }

// at notes a fault at the innermost part of a path that is there.
func (f *faults) at(where place, format string, args ...any) {
	f.add(where.line(&f.root), fmt.Sprintf(format, args...))
}

// any says whether there is a fault so far.
func (f *faults) any() bool { return len(f.all) > 0 }

// err is all faults, in the order of their lines; nil where there are none.
func (f *faults) err() error {
	slices.SortStableFunc(f.all, func(a, b fault) int { return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.what, b.what)) })
	var all []error
	for _, fault := range f.all {
		all = append(all, fmt.Errorf("%s:%d: %s", f.file, fault.line, fault.what))
	}
	return errors.Join(all...)
}

func (p place) line(root *yaml.Node) int {
	node := root.Content[0] // of the document
	line := node.Line
	for _, part := range p {
		key, value := part, (*yaml.Node)(nil)
		if i, ok := key.(int); ok && node.Kind == yaml.SequenceNode && i < len(node.Content) {
			value, line = node.Content[i], node.Content[i].Line
		}
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				value, line = node.Content[i+1], node.Content[i].Line
			}
		}
		if value == nil {
			break
		}
		node = value
	}
	return line
}

// parse reads a scenario's file, and lets the command line change what it says. An error has all faults, each with its line.
func parse(file string, content []byte, change func(*Scenario)) (*Scenario, error) {
	s := &Scenario{Duration: 30 * time.Second, Drain: 30 * time.Second, Interval: 2 * time.Second, Latency: 5 * time.Millisecond, Partitions: stage.Partitions, name: nameOf(file)}
	f := &faults{file: file}
	strict := yaml.NewDecoder(bytes.NewReader(content))
	strict.KnownFields(true)
	err := strict.Decode(s)
	var several *yaml.TypeError
	switch {
	case errors.Is(err, io.EOF):
		f.add(1, "the file is empty; scenarios/steady.yaml shows what a scenario has")
		return nil, f.err()
	case errors.As(err, &several):
		for _, text := range several.Errors {
			f.add(explain(text))
		}
		return nil, f.err()
	case err != nil:
		f.add(explain(strings.TrimPrefix(err.Error(), "yaml: ")))
		return nil, f.err()
	}
	if err := yaml.Unmarshal(content, &f.root); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err) // it was read just now
	}
	s.fill()
	change(s)
	s.check(f)
	if !s.Faults.IsZero() {
		s.script, err = simulator.ParseScript(file, section(content, f.root.Content[0], "faults"))
	}
	if err := errors.Join(f.err(), err); err != nil || s.script == nil {
		return s, err
	}
	return s, s.script.Know(s.known())
}

// section is the text of a file with one of its top keys alone; its lines keep their numbers.
func section(content []byte, root *yaml.Node, key string) []byte {
	lines := bytes.SplitAfter(content, []byte("\n"))
	first, end := -1, len(lines)
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch line := root.Content[i].Line - 1; {
		case root.Content[i].Value == key:
			first = line
		case first >= 0 && end == len(lines):
			end = line
		}
	}
	return append(bytes.Repeat([]byte("\n"), first), bytes.Join(lines[first:end], nil)...)
}

var (
	lineText     = regexp.MustCompile(`^line (\d+): (?s)(.*)$`)
	unknownField = regexp.MustCompile(`^field (\S+) not found in type \S+$`)
	wrongType    = regexp.MustCompile("^cannot unmarshal \\S+ (?:`(.*)` )?into (\\S+)$")
)

// explain makes one of yaml's errors one that says how to mend it.
func explain(text string) (line int, what string) {
	line = 1
	if m := lineText.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1]) // it is all digits
		text = m[2]
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		return line, m[1] + " is no key here; see the scenarios of loadtest/scenarios"
	}
	if m := wrongType.FindStringSubmatch(text); m != nil {
		kind := map[string]string{
			"time.Duration": "a duration such as 500ms or 30s", "int": "a whole number", "float64": "a number", "bool": "true or false", "string": "text",
		}[m[2]]
		if kind != "" {
			return line, fmt.Sprintf("%q is not %s", m[1], kind)
		}
	}
	return line, text
}

// fill puts in what goes without saying.
func (s *Scenario) fill() {
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Tenants == 0 {
			g.Tenants = 1
		}
		if g.Providers == (Providers{}) {
			g.Providers = Providers{APNs: 1, FCM: 1}
		}
		if g.Priorities == (Priorities{}) {
			g.Priorities.Normal = 1
		}
	}
}
