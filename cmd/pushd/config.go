package main

import (
	"errors"
	"fmt"

	"github.com/alecthomas/kong"

	"pushd/dispatcher"
	"pushd/queue"
	"pushd/store"
)

// Config is the whole configuration of the daemon. It is the file, the flags and the environment at once: the names in
// the tags, joined by dots, are the keys of the file (one level of nesting per dot) and the names of the flags; with
// PUSHD_ before them, in capitals and with _ for the dots, they are the environment's.
//
// Secrets are never settings: a setting names the file that holds one.
type Config struct {
	Kafka      queue.Config      `embed:"" prefix:"kafka."`
	Store      store.Config      `embed:"" prefix:"store."`
	Engine     dispatcher.Config `embed:""` // merge., dedupe., rates.
	TenantsDir string            `name:"tenants_dir" help:"Directory of the tenants' files: one YAML file for each customer, which names its credentials." default:"tenants" placeholder:"DIR"`
	Admin      AdminConfig       `embed:"" prefix:"admin."`
	Log        LogConfig         `embed:"" prefix:"log."`
}

// DefaultConfig is what the tags say, and what has none.
func DefaultConfig() Config {
	return Config{
		Kafka:      queue.DefaultConfig(),
		Store:      store.DefaultConfig(),
		Engine:     dispatcher.DefaultConfig(),
		TenantsDir: "tenants",
		Admin:      AdminConfig{Listen: "127.0.0.1:9464"},
		Log:        LogConfig{Level: "info", Format: "text"},
	}
}

// Validate returns the faults of all parts, each beginning with the key it is about.
func (c Config) Validate() error {
	return errors.Join(
		under("kafka", c.Kafka.Validate()),
		under("store", c.Store.Validate()),
		c.Engine.Validate(),
		c.Admin.Validate(),
		c.Log.Validate(),
	)
}

// share gives the ledger what it takes from the engine's settings. It comes after Validate, which checks them where they
// are set.
func (c *Config) share() {
	c.Store.DedupeWindow, c.Store.DedupeMaxEntries = c.Engine.Dedupe.Window, c.Engine.Dedupe.MaxEntries
	c.Store.MergeInterval = c.Engine.Merge.Interval
}

// under puts the section's key before the keys in the errors of a part: a part does not know where it stands.
func under(section string, err error) error {
	var faults []error
	for _, fault := range joined(err) {
		faults = append(faults, fmt.Errorf("%s.%w", section, fault))
	}
	return errors.Join(faults...)
}

// groups are the headings of --help and of docs/configuration.md, by the first part of a key. Their order is the order
// in which Config names them.
var groups = map[string]kong.Group{
	"kafka":       {Key: "kafka", Title: "Kafka"},
	"store":       {Key: "store", Title: "Ledger"},
	"merge":       {Key: "merge", Title: "Merging"},
	"dedupe":      {Key: "dedupe", Title: "Deduplication"},
	"rates":       {Key: "rates", Title: "Rates"},
	"providers":   {Key: "providers", Title: "Providers"},
	"tenants_dir": {Key: "providers", Title: "Providers"},
	"admin":       {Key: "admin", Title: "Admin"},
	"log":         {Key: "log", Title: "Log"},
}

// groupOf is the heading of a flag; what is not a setting has none.
func groupOf(_ kong.Visitable, flag *kong.Flag) *kong.Group {
	if group, ok := groups[firstPart(flag.Name)]; ok {
		return &group
	}
	return nil
}
