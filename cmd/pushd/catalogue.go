package main

import (
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// catalogue is every setting there is, by key and in the order of Config. It is read off Config itself, so the file, the
// flags, the environment and the documentation cannot know different settings.
type catalogue struct {
	order []*kong.Flag
	byKey map[string]*kong.Flag
	below map[string][]string // the names in a section, by the section's key; "" is the top of the file
}

func newCatalogue() *catalogue {
	model := kong.Must(&Config{}, append(mappers(), kong.NoDefaultHelp(), kong.AutoGroup(groupOf))...).Model
	c := &catalogue{byKey: map[string]*kong.Flag{}, below: map[string][]string{}}
	for _, flag := range model.Flags {
		c.order = append(c.order, flag)
		c.byKey[flag.Name] = flag
		c.place(flag.Name)
	}
	return c
}

// place notes a key under its section, and the section under its own.
func (c *catalogue) place(key string) {
	section, name := cutLast(key)
	for _, known := range c.below[section] {
		if known == name {
			return
		}
	}
	c.below[section] = append(c.below[section], name)
	if section != "" {
		c.place(section)
	}
}

// isSection says whether settings stand below key.
func (c *catalogue) isSection(key string) bool { return len(c.below[key]) > 0 }

// decode parses text as the value of a setting, without setting anything.
func (c *catalogue) decode(key, text string) error {
	flag := c.byKey[key]
	scratch := reflect.New(flag.Target.Type()).Elem()
	scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
	return flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, scratch)
}

// envName is the environment's name of a setting.
func envName(key string) string {
	return "PUSHD_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func firstPart(key string) string {
	part, _, _ := strings.Cut(key, ".")
	return part
}

// cutLast splits a key into its section and its own name.
func cutLast(key string) (section, name string) {
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return key[:i], key[i+1:]
	}
	return "", key
}

func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}
