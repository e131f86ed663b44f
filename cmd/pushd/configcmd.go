package main

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// configCmd is "pushd config": what is in force, as a configuration file, each line with where it comes from. Its exit
// code says whether "pushd run" would take the configuration.
type configCmd struct {
	Settings
}

func (c *configCmd) Run(p *process) error {
	encoder := yaml.NewEncoder(p.stdout)
	encoder.SetIndent(2)
	if err := encoder.Encode(c.document()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return encoder.Close()
}

// document is the configuration as YAML, in the order of Config.
func (c *configCmd) document() *yaml.Node {
	root := &yaml.Node{Kind: yaml.MappingNode}
	sections := map[string]*yaml.Node{"": root}
	values := settingValues(&c.Config)
	for _, flag := range c.sources.known.order {
		section, name := cutLast(flag.Name)
		value := valueNode(values[flag.Name])
		value.LineComment = c.originComment(flag.Name)
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

func (c *configCmd) originComment(key string) string {
	where, line := c.sources.origin(key)
	switch {
	case where == "":
		return "default"
	case line > 0:
		return fmt.Sprintf("%s:%d", where, line)
	}
	return where
}
