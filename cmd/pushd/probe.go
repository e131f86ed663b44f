package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/providers"
	"pushd/providers/apns"
	"pushd/providers/fcm"
)

// probesAtATime bounds the connections of probes.
const probesAtATime = 16

// prober is what the library senders of both providers are: it asks whether the credential is accepted, and pushes to nobody.
type prober interface {
	Probe(context.Context) providers.Result
}

// verdict is what a provider's answer says of a credential.
type verdict string

const (
	credentialAccepted verdict = "accepted"
	credentialRefused  verdict = "refused"
	credentialUnknown  verdict = "unknown" // it did not come to that: no connection, no answer, or another trouble
)

// probed is what a provider answered to a credential.
type probed struct {
	Tenant     string  `json:"tenant"`
	Provider   string  `json:"provider"`
	Credential string  `json:"credential"`
	Verdict    verdict `json:"verdict"`
	Status     int     `json:"status,omitempty"`
	Answer     string  `json:"answer,omitempty"` // the provider's own word, or "transport: ..."
	Cause      string  `json:"cause,omitempty"`  // where there was no answer: whose, and why
	TookMS     float64 `json:"took_ms"`
}

func verdictOf(outcome providers.Outcome) verdict {
	switch outcome {
	case providers.Accepted, providers.TokenDead: // it was the probe's token that was looked at
		return credentialAccepted
	case providers.Refused:
		return credentialRefused
	}
	return credentialUnknown
}

// credentialCheck is what check-config does with each credential: it makes its sender, and probes it where it is to.
type credentialCheck struct {
	senders *senders
	timeout time.Duration // of one probe; 0 probes none
}

func (c *checkConfigCmd) newCredentialCheck(probe bool) *credentialCheck {
	cfg := c.Config
	cfg.APNs.Sender, cfg.FCM.Sender = apns.Library, fcm.Library
	check := &credentialCheck{senders: newSenders(&cfg, nil, providers.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))}
	if probe {
		check.timeout = c.ProbeTimeout
	}
	return check
}

// all checks the credentials of all tenants, several at a time. The answers are in the order of the tenants; the faults
// are those of credentials that are well by themselves, but not with this configuration.
func (c *credentialCheck) all(tenants []providers.Tenant) ([]probed, []fault) {
	type checked struct {
		answers []probed
		faults  []fault
	}
	results := make([]checked, len(tenants))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(probesAtATime, len(tenants)) {
		workers.Go(func() {
			for i := range next {
				results[i].answers, results[i].faults = c.tenant(tenants[i])
			}
		})
	}
	for i := range tenants {
		next <- i
	}
	close(next)
	workers.Wait()
	var all checked
	for _, result := range results {
		all.answers, all.faults = append(all.answers, result.answers...), append(all.faults, result.faults...)
	}
	return all.answers, all.faults
}

func (c *credentialCheck) tenant(tenant providers.Tenant) (answers []probed, faults []fault) {
	for _, provider := range []string{providers.APNs, providers.FCM} {
		if tenant.CredentialID(provider) == "" {
			continue
		}
		trouble := &lastTrouble{}
		sender, err := c.senders.sender(tenant, provider, slog.New(trouble))
		if err != nil {
			faults = append(faults, fault{where: tenant.File, key: provider, tenant: tenant.Name, what: err.Error()})
			continue
		}
		if c.timeout > 0 {
			answers = append(answers, c.probe(sender.(prober), tenant, provider, trouble))
		}
		sender.Close()
	}
	return answers, faults
}

func (c *credentialCheck) probe(sender prober, tenant providers.Tenant, provider string, trouble *lastTrouble) probed {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	began := time.Now()
	result := sender.Probe(ctx)
	took := time.Since(began)
	return probed{
		Tenant: tenant.Name, Provider: provider, Credential: tenant.CredentialID(provider), Verdict: verdictOf(result.Outcome),
		Status: result.Status, Answer: result.Reason, TookMS: float64(took.Microseconds()) / 1000,
		Cause: c.cause(result, tenant, provider, trouble),
	}
}

// cause is why a provider gave no answer, with the address that was to give it. It has nothing of the credential.
func (c *credentialCheck) cause(result providers.Result, tenant providers.Tenant, provider string, trouble *lastTrouble) string {
	cfg := c.senders.cfg
	address, why := net.JoinHostPort(cfg.APNs.Host, strconv.Itoa(cfg.APNs.Port)), trouble.text()
	if provider == providers.FCM {
		address = cfg.FCM.Endpoint
	}
	switch {
	case strings.HasPrefix(result.Reason, "oauth: unavailable"):
		address = tenant.FCM.TokenURI.Redacted()
		why = c.tokenTrouble(tenant.FCM.TokenURI)
	case !strings.HasPrefix(result.Reason, "transport: "):
		return ""
	case why == "":
		why = fmt.Sprintf("no answer within %v", c.timeout)
	}
	return address + ": " + why
}

// tokenTrouble connects to a token endpoint that gave no token, of which the sender tells no more than that.
func (c *credentialCheck) tokenTrouble(uri *url.URL) string {
	config, err := c.senders.cfg.FCM.Connection.TLSConfig()
	if err != nil {
		return err.Error()
	}
	port := cmp.Or(uri.Port(), "443")
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: c.timeout}, Config: config}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(uri.Hostname(), port))
	if err != nil {
		return err.Error()
	}
	conn.Close()
	return "it can be reached, but gives no access token"
}

// lastTrouble is a log that keeps the error of its last entry: a sender tells there why it has no connection.
type lastTrouble struct {
	mu  sync.Mutex
	err string // guarded by mu
}

func (l *lastTrouble) Enabled(context.Context, slog.Level) bool { return true }
func (l *lastTrouble) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lastTrouble) WithGroup(string) slog.Handler            { return l }

func (l *lastTrouble) Handle(_ context.Context, record slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	record.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "error" {
			l.err = strings.ReplaceAll(attr.Value.String(), "\n", "; ") // of several addresses
		}
		return true
	})
	return nil
}

func (l *lastTrouble) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// probeTable prints the answers for people.
func probeTable(w io.Writer, answers []probed) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TENANT\tPROVIDER\tCREDENTIAL\tVERDICT\tANSWER\tTOOK")
	for _, a := range answers {
		answer := a.Answer
		if a.Status > 0 {
			answer = fmt.Sprintf("%d %s", a.Status, a.Answer)
		}
		if a.Cause != "" {
			answer += " (" + a.Cause + ")"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.0f ms\n", a.Tenant, a.Provider, a.Credential, a.Verdict, answer, a.TookMS)
	}
	return table.Flush()
}

// probesError is nil where every credential was accepted.
func probesError(answers []probed) error {
	count := map[verdict]int{}
	for _, a := range answers {
		count[a.Verdict]++
	}
	if count[credentialAccepted] == len(answers) {
		return nil
	}
	return fmt.Errorf("of %s, %d refused and %d without a verdict; mend or replace what is refused, and probe the others again",
		plural(len(answers), "credential", "credentials"), count[credentialRefused], count[credentialUnknown])
}
