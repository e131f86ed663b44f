// Package stage sets up what pushd needs around it, on this machine: an embedded broker with the topics, the simulators
// of APNs and FCM, which play the faults of a mixture, and the files of its tenants.
package stage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
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
	authority  *simulator.Authority
	faults     map[string]mixture.Fault
	accepted   func(token string, receipt simulator.Receipt, n int)
	trouble    Trouble  // nil where there is none
	seen       sync.Map // by serial number of a client certificate: when a push came with it for the first time
}

// Partitions is how many each topic has.
const Partitions = 8

// Option is a wish for a stage beyond the usual.
type Option func(*Stage)

// Accepted has f called for each push that a simulator accepts, as simulator.APNsConfig.Accepted is.
func Accepted(f func(token string, receipt simulator.Receipt, n int)) Option {
	return func(s *Stage) { s.accepted = f }
}

// Trouble is what goes wrong with the providers, "apns" and "fcm", beside a mixture's faults.
type Trouble interface {
	Answer(provider string, r simulator.Request) simulator.Answer
	Conduct(provider string) simulator.Conduct // of a connection that comes now
}

// Play has the simulators play trouble where a mixture has no fault for the token.
func Play(trouble Trouble) Option {
	return func(s *Stage) { s.trouble = trouble }
}

// Script has the simulators play a script, if there is one. Its owner starts it.
func Script(script *simulator.Script) Option {
	if script == nil {
		return func(*Stage) {}
	}
	return Play(script)
}

// Build starts broker and simulators and writes their files and the tenants' below dir. Each answer takes latency.
func Build(dir string, m *mixture.Mixture, latency time.Duration, options ...Option) (*Stage, error) {
	s, err := BuildProviders(dir, m, latency, options...)
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
func BuildProviders(dir string, m *mixture.Mixture, latency time.Duration, options ...Option) (_ *Stage, err error) {
	s := &Stage{TenantsDir: filepath.Join(dir, "tenants"), CAFile: filepath.Join(dir, "ca.pem"), faults: m.Faults}
	for _, wish := range options {
		wish(s)
	}
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
	s.authority = authority
	if err := authority.WriteCert(s.CAFile); err != nil {
		return nil, err
	}
	s.APNs, err = simulator.StartAPNs(simulator.APNsConfig{
		Authority: authority, Latency: latency, Answer: s.apns, Accepted: s.accepted, Conduct: s.conduct("apns"),
		StrictStreams: true, Environment: simulator.Production,
	})
	if err != nil {
		return nil, err
	}
	s.FCM, err = simulator.StartFCM(simulator.FCMConfig{
		Authority: authority, Latency: latency, Answer: s.fcm, Accepted: s.accepted, Conduct: s.conduct("fcm"),
	})
	if err != nil {
		return nil, err
	}
	for _, t := range m.Tenants {
		if err := s.writeTenant(t); err != nil {
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

// Renew replaces a tenant's push certificate by one with these properties, as an operator would while pushd runs, and
// returns its serial number. The zero properties are those of a good one.
func (s *Stage) Renew(t mixture.Tenant, opts simulator.PushOptions) (serial string, err error) {
	certificate, err := s.authority.PushCertificate(t.Topic, opts)
	if err != nil {
		return "", err
	}
	serial = fmt.Sprintf("%x", certificate.TLS.Leaf.SerialNumber)
	return serial, errors.Join(s.write(t.Name+".pem", certificate.CertPEM), s.write(t.Name+".key", certificate.KeyPEM))
}

// Seen is when the first push came with a client certificate of that serial number; zero where none has yet.
func (s *Stage) Seen(serial string) time.Time {
	at, _ := s.seen.Load(serial)
	first, _ := at.(time.Time)
	return first
}

// write writes a tenant's file, or replaces it at once.
func (s *Stage) write(name string, content []byte) error {
	path := filepath.Join(s.TenantsDir, name)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (s *Stage) writeTenant(t mixture.Tenant) error {
	text := "tenant: " + t.Name + "\n"
	if t.Topic != "" {
		if _, err := s.Renew(t, simulator.PushOptions{}); err != nil {
			return err
		}
		text += "apns:\n  certificate: " + t.Name + ".pem\n  key: " + t.Name + ".key\n"
	}
	if t.Project != "" {
		account, err := s.FCM.NewAccount(t.Project, nil)
		if err != nil {
			return err
		}
		if err := s.write(t.Name+".json", account.JSON); err != nil {
			return err
		}
		text += "fcm:\n  service_account: " + t.Name + ".json\n"
	}
	if t.Rate > 0 {
		text += fmt.Sprintf("rate: %g\n", t.Rate)
	}
	if t.Weight > 0 {
		text += fmt.Sprintf("weight: %d\n", t.Weight)
	}
	return s.write(t.Name+".yaml", []byte(text))
}

// apns plays a token's fault.
func (s *Stage) apns(r simulator.Request) simulator.Answer {
	if _, known := s.seen.Load(r.Certificate); !known {
		s.seen.LoadOrStore(r.Certificate, r.At)
	}
	fault := s.faults[r.Token]
	if fault == mixture.DeadToken {
		return simulator.Answer{Reason: "Unregistered", Timestamp: r.At.Add(-time.Minute)}
	}
	if r.Attempt > 0 || fault == mixture.NoFault {
		return s.scripted("apns", r)
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
	if r.Attempt > 0 || fault == mixture.NoFault {
		return s.scripted("fcm", r)
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

func (s *Stage) scripted(provider string, r simulator.Request) simulator.Answer {
	if s.trouble == nil {
		return simulator.Answer{}
	}
	return s.trouble.Answer(provider, r)
}

// conduct is how a provider's connections misbehave.
func (s *Stage) conduct(provider string) func(uint64) simulator.Conduct {
	if s.trouble == nil {
		return nil
	}
	return func(uint64) simulator.Conduct { return s.trouble.Conduct(provider) }
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
