package main

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"pushd/dispatcher"
	"pushd/providers"
	"pushd/providers/apns"
	"pushd/providers/fcm"
	"pushd/providers/http2"
)

// senders makes the senders of the tenants' credentials, with the limits that hold for them. Where a credential is the
// same as before it gives the same sender again, by which the engine knows it. The engine closes them.
type senders struct {
	cfg     *Config
	tenants *tenants
	metrics *providers.Metrics
	apns    *http2.Budget
	fcm     *http2.Budget
	log     *slog.Logger

	mu    sync.Mutex // guards what is below
	rates dispatcher.RatesConfig
	given map[dispatcher.Road]givenSender
}

// givenSender is the sender that the engine was given last for a road.
type givenSender struct {
	credential string // its ID
	sender     providers.Sender
}

func newSenders(cfg *Config, tenants *tenants, metrics *providers.Metrics, log *slog.Logger) *senders {
	return &senders{
		cfg: cfg, tenants: tenants, metrics: metrics, log: log,
		apns: http2.NewBudget(cfg.APNs.Connection.Total), fcm: http2.NewBudget(cfg.FCM.Connection.Total),
		rates: cfg.Engine.Rates, given: make(map[dispatcher.Road]givenSender),
	}
}

// open is dispatcher.Deps.Open.
func (s *senders) open(tenant, provider string) (dispatcher.Credential, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	road := dispatcher.Road{Tenant: tenant, Provider: provider}
	t, _ := s.tenants.find(tenant)
	id := t.CredentialID(provider)
	if id == "" {
		delete(s.given, road)
		return dispatcher.Credential{}, slices.Contains(t.Unusable, provider)
	}
	credential := s.limits(t, provider)
	if given := s.given[road]; given.credential == id {
		credential.Sender = given.sender
		return credential, true
	}
	delete(s.given, road)
	sender, err := s.sender(t, provider, s.log.With("tenant", tenant))
	if err != nil {
		s.log.Error("a credential cannot be used: its wakes are held until it is replaced", "tenant", tenant, "provider", provider, "error", err)
		return credential, true
	}
	s.given[road] = givenSender{id, sender}
	credential.Sender = sender
	return credential, true
}

// limits are the tenant's own where it has some, otherwise the configuration's; s.mu is held.
func (s *senders) limits(t providers.Tenant, provider string) dispatcher.Credential {
	c := dispatcher.Credential{Rate: s.rates.PerCredential, InFlight: s.rates.InFlight, Weight: t.Weight}
	if provider == providers.FCM {
		c.Rate = s.rates.PerProject
	}
	if t.Rate > 0 {
		c.Rate = t.Rate
	}
	if t.InFlight > 0 {
		c.InFlight = t.InFlight
	}
	return c
}

// sender makes a sender. log names the tenant: a credential means nothing to whoever reads it.
func (s *senders) sender(t providers.Tenant, provider string, log *slog.Logger) (providers.Sender, error) {
	if provider == providers.FCM {
		sender, err := fcm.New(s.cfg.FCM, t.FCM, s.metrics, s.fcm, log)
		if err != nil { // of what stands in the account's file, where the configuration is well
			return nil, fmt.Errorf("%s: %w", t.FCM.File, err)
		}
		return sender, nil
	}
	return apns.New(s.cfg.APNs, t.APNs, s.metrics, s.apns, log)
}

// setRates sets what holds for credentials without limits of their own. It holds for a lane once that is renewed.
func (s *senders) setRates(r dispatcher.RatesConfig) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rates = r
}
