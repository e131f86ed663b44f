package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"pushd/providers/spelling"
)

const (
	maxScript  = 1 << 20 // bytes of a script's file
	maxTime    = 30 * 24 * time.Hour
	maxLatency = time.Minute // who is later than that hangs
)

// ReadScript reads a script's file. The error has all that is wrong with it, each with its line.
func ReadScript(path string) (*Script, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxScript+1))
	if err != nil {
		return nil, err
	}
	return ParseScript(path, text)
}

// ParseScript makes a script of its text; errors name the file so.
func ParseScript(file string, text []byte) (*Script, error) {
	d := &scriptDecoder{scriptErrors: scriptErrors{file: file}, script: &Script{file: file}}
	d.document(text)
	if err := d.err(); err != nil {
		return nil, err
	}
	d.script.cast()
	return d.script, nil
}

// cast gives each provider its part.
func (s *Script) cast() {
	s.parts = map[string][]part{apnsName: nil, fcmName: nil}
	for i := range s.faults {
		f := &s.faults[i]
		for _, provider := range f.providers() {
			answer, err := f.play(provider)
			if err != nil {
				panic("simulator: " + err.Error()) // check has found it before
			}
			p := part{Fault: f, number: uint64(i), answer: answer}
			if len(f.Tenants) > 0 {
				p.of = make(map[string]bool, len(f.Tenants))
			}
			for _, name := range f.Tenants {
				p.of[name] = true
			}
			at := len(s.parts[provider])
			if f.outage() {
				at = 0
			}
			s.parts[provider] = slices.Insert(s.parts[provider], at, p)
		}
	}
}

// scriptErrors are what is wrong with a script, in the order of its lines.
type scriptErrors struct {
	file  string
	wrong []lineError
}

type lineError struct {
	line int
	err  error
}

func (e *scriptErrors) add(line int, err error) { e.wrong = append(e.wrong, lineError{line, err}) }

func (e *scriptErrors) err() error {
	slices.SortStableFunc(e.wrong, func(a, b lineError) int { return a.line - b.line })
	var all []error
	for _, w := range e.wrong {
		all = append(all, fmt.Errorf("%s:%d: %w", e.file, w.line, w.err))
	}
	return errors.Join(all...)
}

// scriptDecoder reads a script strictly: one document, no unknown key, no key twice, no alias.
type scriptDecoder struct {
	scriptErrors
	script *Script
}

func (d *scriptDecoder) document(text []byte) {
	if len(text) > maxScript {
		d.add(1, fmt.Errorf("the file is longer than %d bytes", maxScript))
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		d.add(1, errors.New("the file is empty; a script without a fault is: faults: []"))
		return
	} else if err != nil {
		d.add(yamlFault(err))
		return
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		d.add(1, errors.New("a second document follows: a file has one script"))
	}
	keys := d.keys(root.Content[0], []string{"faults", "seed"})
	if seed, ok := keys["seed"]; ok {
		if err := integer(seed, &d.script.seed); err != nil {
			d.add(seed.Line, fmt.Errorf("seed: %w", err))
		}
	}
	faults, ok := keys["faults"]
	switch {
	case !ok && len(d.wrong) == 0:
		d.add(1, errors.New("there is no faults: list"))
	case ok && faults.Kind != yaml.SequenceNode:
		d.add(faults.Line, errors.New("faults: a list is expected"))
	case ok:
		for _, node := range faults.Content {
			d.fault(node)
		}
	}
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// yamlFault takes the line out of what the YAML parser says.
func yamlFault(err error) (line int, what error) {
	m := yamlLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	line, _ = strconv.Atoi(m[1]) // 0 where it names none
	return max(1, line), errors.New("this is not YAML as it has to be, here or just below: " + m[2])
}

// keys returns the values of a mapping by their keys.
func (d *scriptDecoder) keys(node *yaml.Node, known []string) map[string]*yaml.Node {
	if node.Kind != yaml.MappingNode {
		d.add(node.Line, errors.New("keys and values are expected here"))
		return nil
	}
	values := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch _, twice := values[key.Value]; {
		case twice:
			d.add(key.Line, fmt.Errorf("key %q stands here a second time", key.Value))
		case !slices.Contains(known, key.Value):
			d.add(key.Line, fmt.Errorf("key %q is not known%s", key.Value, spelling.DidYouMean(key.Value, known)))
		default:
			values[key.Value] = value
		}
	}
	return values
}

// faultKeys decode the values of a fault.
var faultKeys = map[string]func(f *Fault, value *yaml.Node) error{
	"provider": func(f *Fault, value *yaml.Node) error {
		if err := word(value, &f.Provider); err != nil || f.Provider == apnsName || f.Provider == fcmName {
			return err
		}
		return fmt.Errorf("%q is none: say %s or %s, or leave it out for both", f.Provider, apnsName, fcmName)
	},
	"after": func(f *Fault, value *yaml.Node) error { return duration(value, &f.After, 0, maxTime) },
	"for":   func(f *Fault, value *yaml.Node) error { return duration(value, &f.For, time.Millisecond, maxTime) },
	"latency": func(f *Fault, value *yaml.Node) error {
		return duration(value, &f.Latency, time.Microsecond, maxLatency)
	},
	"tenants": func(f *Fault, value *yaml.Node) error { return list(value, &f.Tenants) },
	"share":   func(f *Fault, value *yaml.Node) error { return share(value, &f.Share) },
	"tokens":  func(f *Fault, value *yaml.Node) error { return share(value, &f.Tokens) },
	"answer":  func(f *Fault, value *yaml.Node) error { return word(value, &f.Answer) },
	"retry_after": func(f *Fault, value *yaml.Node) error {
		var seconds uint64
		if err := integer(value, &seconds); err != nil {
			return fmt.Errorf("%w: seconds, as in the header", err)
		}
		if seconds < 1 || seconds > 86_400 {
			return fmt.Errorf("%d is not between 1 and 86400 seconds", seconds)
		}
		f.RetryAfter = int(seconds)
		return nil
	},
}

// fault decodes a fault of the list and checks it.
func (d *scriptDecoder) fault(node *yaml.Node) {
	before := len(d.wrong)
	known := slices.Sorted(maps.Keys(faultKeys))
	values := d.keys(node, known)
	f := Fault{Line: node.Line, Share: 1, Tokens: 1}
	for _, key := range known {
		value, given := values[key]
		if !given {
			continue
		}
		if err := faultKeys[key](&f, value); err != nil {
			d.add(value.Line, fmt.Errorf("%s: %w", key, err))
		}
	}
	if len(d.wrong) > before {
		return // what follows from a fault that was misread is no help
	}
	for _, wrong := range f.check() {
		line := node.Line
		if value, ok := values[wrong.key]; ok {
			line = value.Line
		}
		d.add(line, wrong.err)
	}
	d.script.faults = append(d.script.faults, f)
}

func word(value *yaml.Node, into *string) error {
	if value.Kind != yaml.ScalarNode || value.Value == "" {
		return errors.New("a word is expected")
	}
	*into = value.Value
	return nil
}

func integer(value *yaml.Node, into *uint64) error {
	n, err := strconv.ParseUint(value.Value, 10, 64)
	if value.Kind != yaml.ScalarNode || err != nil {
		return fmt.Errorf("%q is not a whole number, 0 or more", value.Value)
	}
	*into = n
	return nil
}

func share(value *yaml.Node, into *float64) error {
	n, err := strconv.ParseFloat(value.Value, 64)
	if value.Kind != yaml.ScalarNode || err != nil || !(n > 0 && n <= 1) { // NaN is neither
		return fmt.Errorf("%q is not a number above 0 and up to 1, such as 0.2", value.Value)
	}
	*into = n
	return nil
}

func duration(value *yaml.Node, into *time.Duration, least, most time.Duration) error {
	d, err := time.ParseDuration(value.Value)
	switch {
	case value.Kind != yaml.ScalarNode || err != nil:
		return fmt.Errorf("%q is not a duration such as 300ms, 10s or 1m30s", value.Value)
	case d < least || d > most:
		return fmt.Errorf("%v is not between %v and %v", d, least, most)
	}
	*into = d
	return nil
}

func list(value *yaml.Node, into *[]string) error {
	if value.Kind != yaml.SequenceNode || len(value.Content) == 0 {
		return errors.New("a list is expected, such as [acme]; leave it out for all")
	}
	for _, node := range value.Content {
		var name string
		if err := word(node, &name); err != nil {
			return err
		}
		*into = append(*into, name)
	}
	return nil
}
