package main

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pushd/providers"
	"pushd/providers/simulator"
)

// services are simulators of both providers, of which it is an error to push to any device.
type services struct {
	apns *simulator.APNs
	fcm  *simulator.FCM
	ca   string
}

func startServices(t *testing.T, c *customers, latency time.Duration, keys ...simulator.ProviderKey) *services {
	t.Helper()
	s := &services{ca: filepath.Join(t.TempDir(), "ca.pem")}
	delivered := func(r simulator.Request) simulator.Answer {
		t.Errorf("a push to %s would have been delivered", r.Token)
		return simulator.Answer{}
	}
	var err error
	if s.apns, err = simulator.StartAPNs(simulator.APNsConfig{Authority: c.authority, Keys: keys, Latency: latency, Answer: delivered}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.apns.Close() })
	if s.fcm, err = simulator.StartFCM(simulator.FCMConfig{Authority: c.authority, Answer: delivered}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.fcm.Close() })
	if err := c.authority.WriteCert(s.ca); err != nil {
		t.Fatal(err)
	}
	return s
}

// probe runs check-config --probe against the services.
func (s *services) probe(c *customers, args ...string) outcome {
	return pushd(nil, append([]string{
		"check-config", "--probe", "--tenants.dir", c.dir, "--providers.apns.root_ca", s.ca, "--providers.fcm.root_ca", s.ca,
		"--providers.apns.host", s.apns.Host(), fmt.Sprint("--providers.apns.port=", s.apns.Port()), "--providers.fcm.endpoint", s.fcm.URL() + "/v1",
	}, args...)...)
}

func TestProbeTellsGoodRefusedAndUnreachableCredentialsApart(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	key, err := simulator.NewProviderKey()
	if err != nil {
		t.Fatal(err)
	}
	s := startServices(t, c, 0, key)

	c.add("good")
	account, err := s.fcm.NewAccount("good", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.write("good.json", string(account.JSON))
	if got := s.probe(c); got.code != exitOK || got.stderr != "" || strings.Count(got.stdout, "  accepted  ") != 2 {
		t.Fatalf("good credentials only, exit code %d:\n%s%s", got.code, got.stdout, got.stderr)
	}

	known := "apns: {p8: key.p8, key_id: " + key.KeyID + ", team_id: " + key.TeamID + ", topic: com.example.app}\n"
	c.write("key.p8", string(key.PEM))
	c.write("key.yaml", "tenant: key\n"+known)
	c.write("wrongkey.yaml", "tenant: wrongkey\n"+strings.Replace(known, key.KeyID, "ABCDEFGHIJ", 1))
	stranger := newCustomers(t)
	own := c.authority
	c.authority = stranger.authority
	c.certificate("refused", time.Now().Add(time.Hour))
	c.authority = own
	if account, err = simulator.NewServiceAccount("refused", s.fcm.TokenURL(), nil); err != nil {
		t.Fatal(err)
	}
	c.write("refused.json", string(account.JSON))
	c.file("refused", "")
	if account, err = simulator.NewServiceAccount("away", "https://"+closedPort(t)+"/token", nil); err != nil {
		t.Fatal(err)
	}
	c.write("away.json", string(account.JSON))
	c.write("away.yaml", "tenant: away\nfcm: {service_account: away.json}\n")

	got := s.probe(c, "--json")
	if got.code != exitFailed || got.stderr != "pushd: of 7 credentials, 3 refused and 1 without a verdict; mend or replace what is refused, and probe the others again\n" {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	var report struct {
		OK     bool
		Probes []probed
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || report.OK {
		t.Fatalf("%v:\n%s", err, got.stdout)
	}
	var answers []string
	for _, p := range report.Probes {
		answers = append(answers, strings.TrimSpace(fmt.Sprint(p.Tenant, " ", p.Provider, " ", p.Verdict, " ", p.Answer)))
		if away := p.Tenant == "away"; away != strings.HasSuffix(p.Cause, "connect: connection refused") || away == (p.Cause == "") {
			t.Errorf("the cause is %q: %+v", p.Cause, p)
		}
		if p.Credential == "" || p.TookMS <= 0 {
			t.Errorf("%+v", p)
		}
	}
	want := []string{
		"away fcm unknown oauth: unavailable", "good apns accepted BadDeviceToken", "good fcm accepted", "key apns accepted BadDeviceToken",
		"refused apns refused BadCertificate", "refused fcm refused oauth: refused", "wrongkey apns refused InvalidProviderToken",
	}
	if fmt.Sprint(answers) != fmt.Sprint(want) {
		t.Errorf("the answers are\n%s\nwant\n%s", strings.Join(answers, "\n"), strings.Join(want, "\n"))
	}
	if s.apns.Account().Count()+s.fcm.Account().Count() > 0 {
		t.Error("something was pushed")
	}
}

func TestAProbeWithoutAnAnswerSaysWhoseAndWhy(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	s := startServices(t, c, 0)
	c.certificate("acme", time.Now().Add(time.Hour))
	account, err := s.fcm.NewAccount("acme", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.write("acme.json", string(account.JSON))
	c.file("acme", "")
	closed := closedPort(t)
	host, port, err := net.SplitHostPort(closed)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := simulator.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(t.TempDir(), "foreign.pem")
	if err := stranger.WriteCert(foreign); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct{ args, want []string }{
		"nobody listens": {
			[]string{"--providers.apns.host=" + host, "--providers.apns.port=" + port, "--providers.fcm.endpoint=https://" + closed + "/v1"},
			[]string{
				"transport: dial (" + closed + ": dial tcp " + closed + ": connect: connection refused)",
				"transport: dial (https://" + closed + "/v1: dial tcp " + closed + ": connect: connection refused)",
			},
		},
		"no such host": {
			[]string{"--providers.apns.host=pushd.invalid", "--providers.apns.port=2197"},
			[]string{"transport: dial (pushd.invalid:2197: lookup pushd.invalid"},
		},
		"another authority": {
			[]string{"--providers.apns.root_ca=" + foreign, "--providers.fcm.root_ca=" + foreign},
			[]string{
				fmt.Sprintf("transport: tls (%s:%d: TLS handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority", s.apns.Host(), s.apns.Port()),
				"oauth: unavailable (" + s.fcm.TokenURL() + ": tls: failed to verify certificate: x509: certificate signed by unknown authority",
			},
		},
	} {
		got := s.probe(c, row.args...)
		for _, want := range row.want {
			if got.code != exitFailed || !strings.Contains(got.stdout, want) {
				t.Errorf("%s: exit code %d, want %q in\n%s%s", name, got.code, want, got.stdout, got.stderr)
			}
		}
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestAProbeThatIsNotAnsweredEndsInTime(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.certificate("slow", time.Now().Add(time.Hour))
	c.write("slow.yaml", "tenant: slow\napns: {certificate: slow.pem}\n")
	s := startServices(t, c, time.Minute)
	began := time.Now()
	got := s.probe(c, "--probe-timeout=1s")
	if got.code != exitFailed || !strings.Contains(got.stdout, fmt.Sprintf("unknown  transport: timeout (%s:%d: no answer within 1s)", s.apns.Host(), s.apns.Port())) || time.Since(began) > 20*time.Second {
		t.Errorf("exit code %d after %v:\n%s%s", got.code, time.Since(began), got.stdout, got.stderr)
	}
}

func TestFaultsGoBeforeProbes(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	s := startServices(t, c, 0)
	c.certificate("acme", time.Now().Add(time.Hour))
	c.write("acme.yaml", "tenant: acme\napns: {certificate: acme.pem}\n")
	c.write("broken.yaml", "tenant: broken\n")
	got := s.probe(c)
	if got.code != exitUsage || !strings.Contains(got.stdout, "400 BadDeviceToken") || !strings.Contains(got.stderr, "neither apns nor fcm") {
		t.Errorf("with a tenant's fault, exit code %d:\n%s%s", got.code, got.stdout, got.stderr)
	}
	connections := s.apns.Stats().Opened
	got = s.probe(c, "--merge.interval=30h")
	if got.code != exitUsage || got.stdout != "" || s.apns.Stats().Opened != connections {
		t.Errorf("with a fault of the configuration, exit code %d:\n%s%s", got.code, got.stdout, got.stderr)
	}
	if got := s.probe(c, "--probe-timeout=1ms"); got.code != exitUsage || !strings.Contains(got.stderr, "--probe-timeout: 1ms is not between") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
}

func TestOnlyAnAnswerAboutTheTokenSaysThatTheCredentialIsAccepted(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[providers.Outcome]verdict{
		providers.Accepted: credentialAccepted, providers.TokenDead: credentialAccepted, providers.Refused: credentialRefused,
		providers.Rejected: credentialUnknown, providers.Again: credentialUnknown, providers.Later: credentialUnknown,
	} {
		if got := verdictOf(outcome); got != want {
			t.Errorf("outcome %d is %s, want %s", outcome, got, want)
		}
	}
}
