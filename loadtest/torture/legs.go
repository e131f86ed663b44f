package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// leg is the way from the daemon to somebody: a proxy that can be poisoned.
type leg struct {
	name  string
	proxy *toxiproxy.Proxy
}

// toxic is something that a proxy does to what it passes on.
type toxic struct {
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream or downstream
	Attributes map[string]int `json:"attributes"`
}

// both are the two directions.
var both = []string{"upstream", "downstream"}

// newLeg starts a proxy in front of an address.
func (p *play) newLeg(name, to string) (*leg, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &leg{name, toxiproxy.NewProxy(server, name, "127.0.0.1:0", to)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("start a proxy before %s: %w", name, err)
	}
	p.onStop(func() error { l.proxy.Stop(); return nil })
	return l, nil
}

// to says where the leg leads; connections of before stay where they are.
func (l *leg) to(address string) {
	l.proxy.Lock()
	defer l.proxy.Unlock()
	l.proxy.Upstream = address
}

// poison adds a toxic to streams of the leg.
func (l *leg) poison(kind string, attributes map[string]int, streams ...string) error {
	for _, stream := range streams {
		text, err := json.Marshal(toxic{kind, stream, attributes})
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("toxic %s on %s of %s: %w", kind, stream, l.name, err)
		}
	}
	return nil
}

// cure takes all toxics away.
func (l *leg) cure(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }
