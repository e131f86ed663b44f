package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"

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
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // upstream or downstream
	Attributes map[string]int `json:"attributes"`
}

// The streams of a leg.
const (
	upstream   = "upstream"
	downstream = "downstream"
)

// kafkaLeg is the name of the leg to Kafka; those to the providers have theirs.
const kafkaLeg = "kafka"

// setUpLegs puts a proxy into each way from the daemons, where the ordeal wants it. Kafka's leads nowhere yet.
func (p *play) setUpLegs() error {
	if !p.proxied {
		return nil
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // some of its toxics do not ask the logger that they were given
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for _, to := range []struct{ name, address string }{
		{apns, fmt.Sprintf("%s:%d", p.stage.APNs.Host(), p.stage.APNs.Port())}, {fcm, strings.TrimPrefix(p.stage.FCM.URL(), "https://")}, {kafkaLeg, ""},
	} {
		l := &leg{to.name, toxiproxy.NewProxy(server, to.name, "127.0.0.1:0", to.address)}
		if err := l.proxy.Start(); err != nil {
			return fmt.Errorf("start a proxy before %s: %w", to.name, err)
		}
		p.onStop(func() error { l.proxy.Stop(); return nil })
		p.legs = append(p.legs, l)
	}
	return nil
}

// leg is the one of that name; nil where the ways are not proxied.
func (p *play) leg(name string) *leg {
	for _, l := range p.legs {
		if l.name == name {
			return l
		}
	}
	return nil
}

// ways are the flags by which a daemon finds Kafka and the providers.
func (p *play) ways() []string {
	broker, port, url := p.server.Broker, fmt.Sprint(p.stage.APNs.Port()), p.stage.FCM.URL()
	if p.proxied {
		broker, port, url = p.leg(kafkaLeg).proxy.Listen, p.leg(apns).port(), "https://localhost:"+p.leg(fcm).port()
	}
	return []string{
		"--kafka.brokers=" + broker, "--providers.apns.host=" + p.stage.APNs.Host(), "--providers.apns.port=" + port, "--providers.fcm.endpoint=" + url + "/v1",
	}
}

// port is where the proxy listens.
func (l *leg) port() string {
	_, port, _ := net.SplitHostPort(l.proxy.Listen) // as the system wrote it
	return port
}

// leadsTo says where connections go from now on.
func (l *leg) leadsTo(address string) {
	l.proxy.Lock()
	defer l.proxy.Unlock()
	l.proxy.Upstream = address
}

// poison adds a toxic to streams of the leg.
func (l *leg) poison(kind string, attributes map[string]int, streams ...string) error {
	for _, stream := range streams {
		text, err := json.Marshal(toxic{kind + stream, kind, stream, attributes})
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("toxic %s on %s of %s: %w", kind, stream, l.name, err)
		}
	}
	return nil
}

// clog lets nothing through a stream any more, and tells nobody: what is sent is lost.
func (l *leg) clog(stream string) error {
	return l.poison("timeout", map[string]int{"timeout": 0}, stream)
}

// clogBoth makes the leg a blackhole.
func (l *leg) clogBoth() error {
	return l.poison("timeout", map[string]int{"timeout": 0}, upstream, downstream)
}

// unclog lets what comes from now on through; connections that have lost something are closed.
func (l *leg) unclog(ctx context.Context, stream string) error {
	return l.proxy.Toxics.RemoveToxic(ctx, "timeout"+stream)
}

// cure takes all toxics away.
func (l *leg) cure(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }
