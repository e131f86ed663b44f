// Package stage sets up what pushd needs around it, on this machine: an embedded broker with the topics, the simulators
// of APNs and FCM, which play the faults of a mixture, and the files of its tenants.
package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/net/http2"

	"pushd/loadtest/mixture"
	"pushd/providers/simulator"
	"pushd/queue/embedded"
	"pushd/queue/event"
)

// Stage is a running broker and running simulators, with the tenants that they know.
type Stage struct {
	Broker     *embedded.Broker // nil where the stage was built without one
	APNs       *simulator.APNs
	FCM        *simulator.FCM
	TenantsDir string
	CAFile     string // the authority of both
	faults     map[string]mixture.Fault
}

// Partitions is how many each topic has.
const Partitions = 8

// Build starts broker and simulators and writes their files and the tenants' below dir. Each answer takes latency.
func Build(dir string, m *mixture.Mixture, latency time.Duration) (*Stage, error) {
	s, err := BuildProviders(dir, m, latency)
	if err != nil {
		return nil, err
	}
	if s.Broker, err = embedded.Start(BrokerConfig(dir)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// BrokerConfig is the broker that Build starts, with its files below dir.
func BrokerConfig(dir string) embedded.Config {
	return embedded.Config{
		DataDir: filepath.Join(dir, "kafka"), Listen: "127.0.0.1:0", Partitions: Partitions,
		Topics: []string{event.CheckinTopic, event.FeedbackTopic, event.DeadTopic},
	}
}

// BuildProviders builds a stage without a broker, for a play with another one.
func BuildProviders(dir string, m *mixture.Mixture, latency time.Duration) (_ *Stage, err error) {
	s := &Stage{TenantsDir: filepath.Join(dir, "tenants"), CAFile: filepath.Join(dir, "ca.pem"), faults: m.Faults}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.MkdirAll(s.TenantsDir, 0o700); err != nil {
		return nil, err
	}
	authority, err := simulator.NewAuthority()
	if err != nil {
		return nil, err
	}
	if err := authority.WriteCert(s.CAFile); err != nil {
		return nil, err
	}
	if s.APNs, err = simulator.StartAPNs(simulator.APNsConfig{Authority: authority, Latency: latency, Answer: s.apns, StrictStreams: true}); err != nil {
		return nil, err
	}
	if s.FCM, err = simulator.StartFCM(simulator.FCMConfig{Authority: authority, Latency: latency, Answer: s.fcm}); err != nil {
		return nil, err
	}
	for _, t := range m.Tenants {
		if err := s.writeTenant(authority, t); err != nil {
			return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
		}
	}
	return s, nil
}

// Close stops everything that was started.
func (s *Stage) Close() error {
	var faults []error
	if s.Broker != nil {
		s.Broker.Close()
	}
	if s.APNs != nil {
		faults = append(faults, s.APNs.Close())
	}
	if s.FCM != nil {
		faults = append(faults, s.FCM.Close())
	}
	return errors.Join(faults...)
}

// Receipts is when pushes for a token were accepted, in order (audit.Receipts).
func (s *Stage) Receipts(token string) []time.Time {
	return append(s.APNs.Account().At(token), s.FCM.Account().At(token)...)
}

// Accepted is how many pushes the simulators accepted.
func (s *Stage) Accepted() int { return int(s.APNs.Account().Count() + s.FCM.Account().Count()) }

func (s *Stage) writeTenant(authority *simulator.Authority, t mixture.Tenant) error {
	text := "tenant: " + t.Name + "\n"
	write := func(name string, content []byte) error {
		return os.WriteFile(filepath.Join(s.TenantsDir, name), content, 0o600)
	}
	if t.Topic != "" {
		certificate, err := authority.PushCertificate(t.Topic, simulator.PushOptions{})
		if err != nil {
			return err
		}
		if err := errors.Join(write(t.Name+".pem", certificate.CertPEM), write(t.Name+".key", certificate.KeyPEM)); err != nil {
			return err
		}
		text += "apns:\n  certificate: " + t.Name + ".pem\n  key: " + t.Name + ".key\n"
	}
	if t.Project != "" {
		account, err := s.FCM.NewAccount(t.Project, nil)
		if err != nil {
			return err
		}
		if err := write(t.Name+".json", account.JSON); err != nil {
			return err
		}
		text += "fcm:\n  service_account: " + t.Name + ".json\n"
	}
	return write(t.Name+".yaml", []byte(text))
}

// apns plays a token's fault.
func (s *Stage) apns(r simulator.Request) simulator.Answer {
	fault := s.faults[r.Token]
	if fault == mixture.DeadToken {
		return simulator.Answer{Reason: "Unregistered", Timestamp: r.At.Add(-time.Minute)}
	}
	if r.Attempt > 0 {
		return simulator.Answer{}
	}
	switch fault {
	case mixture.TooMany:
		return simulator.Answer{Reason: "TooManyRequests"}
	case mixture.Unavailable:
		return simulator.Answer{Reason: "ServiceUnavailable", RetryAfter: "1"}
	case mixture.Internal:
		return simulator.Answer{Reason: "InternalServerError"}
	}
	return transportFault(fault)
}

func (s *Stage) fcm(r simulator.Request) simulator.Answer {
	fault := s.faults[r.Token]
	if fault == mixture.DeadToken {
		return simulator.Answer{Reason: "UNREGISTERED"}
	}
	if r.Attempt > 0 {
		return simulator.Answer{}
	}
	switch fault {
	case mixture.TooMany:
		return simulator.Answer{Reason: "QUOTA_EXCEEDED", RetryAfter: "1"}
	case mixture.Unavailable:
		return simulator.Answer{Reason: "UNAVAILABLE", RetryAfter: "1"}
	case mixture.Internal:
		return simulator.Answer{Reason: "INTERNAL"}
	}
	return transportFault(fault)
}

func transportFault(fault mixture.Fault) simulator.Answer {
	switch fault {
	case mixture.Reset:
		return simulator.Answer{Reset: http2.ErrCodeRefusedStream}
	case mixture.LastOfConnection:
		return simulator.Answer{GoAway: &simulator.GoAway{LastStream: simulator.ThisStream}}
	}
	return simulator.Answer{}
}
