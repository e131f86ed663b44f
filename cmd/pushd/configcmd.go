package main

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"go.yaml.in/yaml/v3"
)

// configCmd is "pushd config": what there is to know of the configuration.
type configCmd struct {
	Show   configShowCmd   `cmd:"" help:"Show what is in force, and where each setting comes from."`
	Schema configSchemaCmd `cmd:"" help:"Print the JSON Schema of a file, for editors."`
}

// configShowCmd is "pushd config show": what is in force, as a configuration file, each line with where it comes from. Its
// exit code says whether "pushd run" would take the configuration. There is nothing in it to be hidden: secrets are never
// settings, and what looks like one is refused.
type configShowCmd struct {
	Settings
	JSON bool `name:"json" help:"Print the settings as one JSON object, by key; where there is a fault, that as check-config --json does."`
}

func (c *configShowCmd) Run(p *process) error {
	if c.JSON {
		if faults := c.faults(); len(faults) > 0 {
			faulty := newFaultsError(faults)
			faulty.told = true
			return errors.Join(printJSON(p.stdout, checked{Faults: faulty.faults, File: c.sources.file.path}), faulty)
		}
		return printJSON(p.stdout, c.settings())
	}
	encoder := yaml.NewEncoder(p.stdout)
	encoder.SetIndent(2)
	if err := encoder.Encode(c.document()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return encoder.Close()
}

// shownSetting is the value of a setting as a file would have it, and where it comes from.
type shownSetting struct {
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

func (c *configShowCmd) settings() map[string]shownSetting {
	shown := map[string]shownSetting{}
	for key, value := range settingValues(&c.Config) {
		shown[key] = shownSetting{plain(value), c.origin(key)}
	}
	return shown
}

// plain is a value as JSON has it: durations are text there.
func plain(value reflect.Value) any {
	switch {
	case value.Type() == reflect.TypeFor[time.Duration]():
		return written(value)
	case value.Kind() == reflect.Slice:
		list := make([]any, value.Len())
		for i := range list {
			list[i] = plain(value.Index(i))
		}
		return list
	}
	return value.Interface()
}

// document is the configuration as YAML, in the order of Config.
func (c *configShowCmd) document() *yaml.Node {
	root := &yaml.Node{Kind: yaml.MappingNode}
	sections := map[string]*yaml.Node{"": root}
	values := settingValues(&c.Config)
	for _, flag := range c.sources.known.order {
		section, name := cutLast(flag.Name)
		value := valueNode(values[flag.Name])
		value.LineComment = c.origin(flag.Name)
		within(sections, section).Content = append(sections[section].Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, value)
	}
	return root
}

// valueNode is a value as it stands in a file, so that the whole can be read again.
func valueNode(value reflect.Value) *yaml.Node {
	switch value.Kind() {
	case reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range value.Len() {
			list.Content = append(list.Content, valueNode(value.Index(i)))
		}
		return list
	case reflect.String:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value.String()} // quoted where it must be
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: written(value)}
	}
}

// within is the node of a section, made where it is not there yet.
func within(sections map[string]*yaml.Node, key string) *yaml.Node {
	if node, ok := sections[key]; ok {
		return node
	}
	above, name := cutLast(key)
	node := &yaml.Node{Kind: yaml.MappingNode}
	parent := within(sections, above)
	parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, node)
	sections[key] = node
	return node
}

// origin names where a value comes from: a file and its line, the environment, a flag, or nowhere.
func (c *configShowCmd) origin(key string) string {
	switch where, line := c.sources.origin(key); {
	case where == "":
		return "default"
	case where == commandLine:
		return "flag"
	case line > 0:
		return fmt.Sprintf("%s:%d", where, line)
	default:
		return "env " + where
	}
}
