package main

import (
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"pushd/providers"
)

// configSchemaCmd is "pushd config schema": what editors need to know of the files. docs/ has what it prints.
type configSchemaCmd struct {
	Of string `arg:"" optional:"" enum:"pushd,tenant" default:"pushd" help:"The configuration file (pushd) or a tenant's file (tenant)."`
}

// Help is shown by "pushd config schema --help".
func (configSchemaCmd) Help() string {
	return `An editor with a YAML language server completes and checks a file that begins with

  # yaml-language-server: $schema=docs/pushd.schema.json

or wherever the schema was put. It knows names and kinds, not bounds: "pushd check-config" knows all.`
}

func (c *configSchemaCmd) Run(p *process) error {
	if c.Of == "tenant" {
		return writeSchema(p.stdout, tenantSchema())
	}
	return writeSchema(p.stdout, configSchema(newCatalogue()))
}

// schema is a JSON Schema, as far as it is used here.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Comment     string             `json:"$comment,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // one name, or several
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"` // of a string; other types pass
	Above       *float64           `json:"exclusiveMinimum,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	Not         *schema            `json:"not,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Default     any                `json:"default,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Closed      *bool              `json:"additionalProperties,omitempty"` // false in every section: a name that is not known is a slip
}

const (
	dialect   = "https://json-schema.org/draft/2020-12/schema"
	generated = "Written by \"pushd config schema\" from the settings themselves; a test compares. Do not edit."
)

func writeSchema(w io.Writer, s *schema) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(s)
}

func section(kind any) *schema {
	return &schema{Type: kind, Properties: map[string]*schema{}, Closed: new(bool)}
}

// configSchema is docs/pushd.schema.json.
func configSchema(known *catalogue) *schema {
	defaults := DefaultConfig()
	root := known.schema("", settingValues(&defaults))
	root.Schema, root.ID, root.Title, root.Comment = dialect, "urn:pushd:schema:configuration", "The configuration file of pushd", generated
	return root
}

// schema is that of a section. It may be null: all of its settings are commented out.
func (c *catalogue) schema(key string, defaults map[string]reflect.Value) *schema {
	s := section([]string{"object", "null"})
	if group, ok := groups[key]; ok {
		s.Description = group.Title + "."
	}
	for _, name := range c.below[key] {
		full := join(key, name)
		if c.isSection(full) {
			s.Properties[name] = c.schema(full, defaults)
			continue
		}
		flag := c.byKey[full]
		setting := kindSchema(flag.Target.Type(), flag.Value)
		setting.Description, setting.Default = flag.Help, plain(defaults[full])
		s.Properties[name] = setting
	}
	return s
}

const (
	durationPattern  = `([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+`
	durationsPattern = durationPattern + `(,` + durationPattern + `)*`
)

// kindSchema is what a value of this type may be in a file, which is what the mappers read. A number may have _ between
// its digits, which makes it text to most readers of YAML; a list may be text with commas.
func kindSchema(kind reflect.Type, setting *kong.Value) *schema {
	switch kind.Kind() {
	case reflect.Slice:
		element := kindSchema(kind.Elem(), setting)
		list := &schema{Type: []string{"array", "string"}, Items: element}
		if element.Pattern != "" {
			list.Pattern = "^" + durationsPattern + "$"
		}
		return list
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.String:
		if setting.Enum != "" {
			return &schema{Type: "string", Enum: setting.EnumSlice()}
		}
		return &schema{Type: "string", Not: &schema{Pattern: "-----BEGIN"}} // a secret goes into a file of its own
	case reflect.Float64:
		return &schema{Type: []string{"number", "string"}, Pattern: `^-?[0-9_]+(\.[0-9_]+)?$`}
	}
	if kind == reflect.TypeFor[time.Duration]() {
		return &schema{Type: "string", Pattern: "^" + durationPattern + "$"}
	}
	return &schema{Type: []string{"integer", "string"}, Pattern: `^-?[0-9_]+$`}
}

// tenantSchema is docs/tenant.schema.json.
func tenantSchema() *schema {
	root := fieldsSchema(reflect.TypeFor[providers.TenantFile]())
	root.Schema, root.ID, root.Title, root.Comment = dialect, "urn:pushd:schema:tenant", "A tenant's file of pushd", generated
	return root
}

// fieldsSchema is that of a struct whose tags say what a tenant's file can have.
func fieldsSchema(shape reflect.Type) *schema {
	s := section("object")
	for field := range shape.Fields() {
		kind := field.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		var key *schema
		switch kind.Kind() {
		case reflect.Struct:
			key = fieldsSchema(kind)
		case reflect.Int:
			key = &schema{Type: "integer"}
		case reflect.Float64:
			key = &schema{Type: "number"}
		default:
			key = &schema{Type: "string", Not: &schema{Pattern: "-----BEGIN"}}
		}
		key.Description = field.Tag.Get("help")
		key.Above, key.Minimum, key.Maximum = bound(field, "above"), bound(field, "min"), bound(field, "max")
		name := field.Tag.Get("yaml")
		if _, required := field.Tag.Lookup("required"); required {
			s.Required = append(s.Required, name)
		}
		s.Properties[name] = key
	}
	return s
}

// bound is what a tag says, if it is there.
func bound(field reflect.StructField, tag string) *float64 {
	text, ok := field.Tag.Lookup(tag)
	if !ok {
		return nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic("pushd: " + field.Name + ": " + err.Error())
	}
	return &value
}
