package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"pushd/dispatcher"
	"pushd/providers"
	"pushd/providers/apns"
	"pushd/providers/fcm"
	"pushd/queue"
	"pushd/queue/event"
	"pushd/store"
)

// Config is the whole configuration of the daemon. It is the file, the flags and the environment at once: the names in
// the tags, joined by dots, are the keys of the file (one level of nesting per dot) and the names of the flags; with
// PUSHD_ before them, in capitals and with _ for the dots, they are the environment's.
//
// Secrets are never settings: a setting names the file that holds one.
type Config struct {
	Kafka    queue.Config      `embed:"" prefix:"kafka."`
	Feedback FeedbackConfig    `embed:"" prefix:"kafka."`
	Store    store.Config      `embed:"" prefix:"store."`
	Engine   dispatcher.Config `embed:""` // merge., dedupe., rates., breaker., guard., dead_letters., retry.
	Tenants  TenantsConfig     `embed:"" prefix:"tenants."`
	APNs     apns.Config       `embed:"" prefix:"providers.apns."`
	FCM      fcm.Config        `embed:"" prefix:"providers.fcm."`
	Admin    AdminConfig       `embed:"" prefix:"admin."`
	Log      LogConfig         `embed:"" prefix:"log."`
}

// FeedbackConfig says what the publishers of events are told, and where.
type FeedbackConfig struct {
	Topic    string `name:"feedback_topic" help:"Topic of feedback: dead tokens, expired wakes, refused credentials." default:"pushd.feedback"`
	Dead     string `name:"dead_topic" help:"Topic of dead letters: events that cannot be understood, with the reason." default:"pushd.dead"`
	Accepted bool   `name:"feedback_accepted" help:"Publish feedback for accepted pushes too: as many messages as pushes." default:"false"`
}

// validate returns all faults, each beginning with the key it is about. events is the topic of the events.
func (c FeedbackConfig) validate(events string) error {
	var faults []error
	for _, topic := range []struct{ key, name string }{{"feedback_topic", c.Topic}, {"dead_topic", c.Dead}} {
		switch err := queue.CheckTopic(topic.name); {
		case err != nil:
			faults = append(faults, fmt.Errorf("%s: %w", topic.key, err))
		case topic.name == events:
			faults = append(faults, fmt.Errorf("%s: %q is the topic of the events too; pushd would read what it writes", topic.key, topic.name))
		}
	}
	return errors.Join(faults...)
}

// DefaultConfig is what the tags say, and what has none.
func DefaultConfig() Config {
	return Config{
		Kafka:    queue.DefaultConfig(),
		Feedback: FeedbackConfig{Topic: event.FeedbackTopic, Dead: event.DeadTopic},
		Store:    store.DefaultConfig(),
		Engine:   dispatcher.DefaultConfig(),
		Tenants:  DefaultTenantsConfig(),
		APNs:     apns.DefaultConfig(),
		FCM:      fcm.DefaultConfig(),
		Admin:    AdminConfig{Listen: "127.0.0.1:9464"},
		Log:      LogConfig{Level: "info", Format: "text"},
	}
}

// Validate returns the faults of all parts, each beginning with the key it is about.
func (c Config) Validate() error {
	return errors.Join(
		under("kafka", errors.Join(c.Kafka.Validate(), c.Feedback.validate(c.Kafka.Topic),
			private("tls.key", c.Kafka.TLS.Key), private("sasl.password_file", c.Kafka.SASL.PasswordFile))),
		under("store", c.Store.Validate()),
		c.Engine.Validate(),
		c.ownTopic(),
		c.Tenants.Validate(),
		c.APNs.Validate(),
		c.FCM.Validate(),
		c.Admin.Validate(),
		c.Log.Validate(),
	)
}

// ownTopic says whether parked wakes have a topic of their own.
func (c Config) ownTopic() error {
	for _, other := range []struct{ key, name string }{
		{"kafka.topic", c.Kafka.Topic}, {"kafka.feedback_topic", c.Feedback.Topic}, {"kafka.dead_topic", c.Feedback.Dead},
	} {
		if c.Engine.Retry.Topic == other.name {
			return fmt.Errorf("retry.topic: %q is %s too; parked wakes need a topic of their own, which is compacted", other.name, other.key)
		}
	}
	return nil
}

// private says whether others can read a file of secrets. That a file is missing, its owner says.
func private(key, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if err := providers.CheckPrivate(path, info); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// share gives the ledger what it takes from the engine's settings. It comes after Validate, which checks them where they
// are set.
func (c *Config) share() {
	c.Store.DedupeWindow, c.Store.DedupeMaxEntries = c.Engine.Dedupe.Window, c.Engine.Dedupe.MaxEntries
	c.Store.MergeInterval = c.Engine.Merge.Interval
	c.Store.SetAside = c.Engine.Retry.Durability == dispatcher.Replicated // then the topic of parked wakes has what waited
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
	"kafka":        {Key: "kafka", Title: "Kafka"},
	"store":        {Key: "store", Title: "Ledger"},
	"merge":        {Key: "merge", Title: "Merging"},
	"dedupe":       {Key: "dedupe", Title: "Deduplication"},
	"rates":        {Key: "rates", Title: "Rates"},
	"breaker":      {Key: "breaker", Title: "Breaker of a provider"},
	"guard":        {Key: "guard", Title: "Guard of a credential"},
	"dead_letters": {Key: "dead_letters", Title: "Bad records"},
	"retry":        {Key: "retry", Title: "Long waits"},
	"providers":    {Key: "providers", Title: "Providers"},
	"tenants":      {Key: "tenants", Title: "Tenants"},
	"admin":        {Key: "admin", Title: "Admin"},
	"log":          {Key: "log", Title: "Log"},
}

// groupOf is the heading of a flag; what is not a setting has none.
func groupOf(_ kong.Visitable, flag *kong.Flag) *kong.Group {
	part := firstPart(flag.Name)
	if group, ok := groups[part]; ok && part != flag.Name { // --tenants of a trial is no setting
		return &group
	}
	return nil
}
