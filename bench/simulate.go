package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"pushd/providers"
	"pushd/providers/simulator"
)

// simulation is what a process of simulators is told.
type simulation struct {
	Dir     string // for the files of the tenant
	Latency time.Duration
}

// simulate is the process of the simulators. It is told what to simulate, tells the ground, and serves until in ends, as it
// does with the process that has the other end.
func simulate(in io.Reader, out io.Writer) error {
	// Fewer collections of a small heap: the simulators must not be what a contender waits for.
	debug.SetGCPercent(400)
	var config simulation
	decoder := json.NewDecoder(in)
	if err := decoder.Decode(&config); err != nil {
		return fmt.Errorf("read what to simulate: %w", err)
	}
	s, err := startSimulators(config)
	if err != nil {
		return err
	}
	err = json.NewEncoder(out).Encode(s.ground)
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return errors.Join(err, s.stop())
}

// simulators check every request as those of the load test do, but keep nothing of single tokens: at the rates that are
// measured here, that would be their main work.
type simulators struct {
	ground  ground
	started []func() error
}

func (s *simulators) stop() error {
	var faults []error
	for _, stop := range s.started {
		faults = append(faults, stop())
	}
	return errors.Join(faults...)
}

func startSimulators(config simulation) (_ *simulators, err error) {
	s := &simulators{ground: ground{Dir: config.Dir}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	authority, err := simulator.NewAuthority()
	if err != nil {
		return nil, err
	}
	key, err := simulator.NewProviderKey()
	if err != nil {
		return nil, err
	}
	key.Topics = []string{topic}
	apns, err := simulator.StartAPNs(simulator.APNsConfig{
		Authority: authority, Latency: config.Latency, Answer: dead,
		Keys: []simulator.ProviderKey{key}, Account: simulator.NewCounter(),
	})
	if err != nil {
		return nil, err
	}
	s.started = append(s.started, apns.Close)
	fcm, err := simulator.StartFCM(simulator.FCMConfig{Authority: authority, Latency: config.Latency, Account: simulator.NewCounter()})
	if err != nil {
		return nil, err
	}
	s.started = append(s.started, fcm.Close)
	s.ground.APNs, s.ground.FCM = apns.Addr(), fcm.URL()+"/v1"
	s.ground.KeyID, s.ground.TeamID = key.KeyID, key.TeamID
	if err := s.publishAccounts(apns.Account(), fcm.Account()); err != nil {
		return nil, err
	}
	return s, s.writeFiles(authority, key, fcm)
}

// dead refuses dead tokens, and accepts all others.
func dead(r simulator.Request) simulator.Answer {
	if strings.HasPrefix(r.Token, deadMark) {
		return simulator.Answer{Reason: "Unregistered", Timestamp: r.At}
	}
	return simulator.Answer{}
}

// publishAccounts serves the accounts at /apns and /fcm.
func (s *simulators) publishAccounts(apns, fcm *simulator.Account) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/"+providers.APNs, apns)
	mux.Handle("/"+providers.FCM, fcm)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go server.Serve(listener) // ends with Close, below
	s.started = append(s.started, server.Close)
	s.ground.Accounts = "http://" + listener.Addr().String()
	return nil
}

// writeFiles writes what the contenders authenticate with.
func (s *simulators) writeFiles(authority *simulator.Authority, key simulator.ProviderKey, fcm *simulator.FCM) error {
	certificate, err := authority.PushCertificate(topic, simulator.PushOptions{})
	if err != nil {
		return err
	}
	account, err := fcm.NewAccount(project, nil)
	if err != nil {
		return err
	}
	g := &s.ground
	if err := os.MkdirAll(g.tenantsDir(), 0o700); err != nil {
		return err
	}
	const file = "tenant: " + tenant + `
apns:
  certificate: bench.pem
  key: bench.key
fcm:
  service_account: bench.json
`
	return errors.Join(
		authority.WriteCert(g.caFile()),
		os.WriteFile(g.providerKey(), key.PEM, 0o600),
		os.WriteFile(g.certificate(), certificate.CertPEM, 0o600),
		os.WriteFile(g.key(), certificate.KeyPEM, 0o600),
		os.WriteFile(g.account(), account.JSON, 0o600),
		os.WriteFile(g.tenantsDir()+"/bench.yaml", []byte(file), 0o600),
	)
}
