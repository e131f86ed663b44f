package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/dispatcher"
	"pushd/providers"
	"pushd/providers/simulator"
)

// customers is a directory of tenants in the making, and the log of whoever reads it.
type customers struct {
	t         *testing.T
	dir       string
	authority *simulator.Authority
	log       bytes.Buffer
}

func newCustomers(t *testing.T) *customers {
	t.Helper()
	authority, err := simulator.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	return &customers{t: t, dir: t.TempDir(), authority: authority}
}

func (c *customers) write(name, content string) {
	c.t.Helper()
	rewrite(c.t, filepath.Join(c.dir, name), content)
}

// certificate writes a tenant's certificate, which expires then, into NAME.pem.
func (c *customers) certificate(name string, expires time.Time) {
	c.t.Helper()
	certificate, err := c.authority.PushCertificate("com.apple.mgmt.External."+name, simulator.PushOptions{NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: expires})
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(name+".pem", string(certificate.CertPEM)+string(certificate.KeyPEM))
}

// account writes a tenant's service account into NAME.json.
func (c *customers) account(name string) {
	c.t.Helper()
	account, err := simulator.NewServiceAccount(name, "https://oauth2.googleapis.com/token", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(name+".json", string(account.JSON))
}

// file writes a tenant's file, with both credentials and these lines.
func (c *customers) file(name, more string) {
	c.t.Helper()
	c.write(name+".yaml", "tenant: "+name+"\napns: {certificate: "+name+".pem}\nfcm: {service_account: "+name+".json}\n"+more)
}

// add writes all of a tenant.
func (c *customers) add(name string) {
	c.t.Helper()
	c.certificate(name, time.Now().Add(365*24*time.Hour))
	c.account(name)
	c.file(name, "")
}

func (c *customers) config(strict bool) TenantsConfig {
	return TenantsConfig{Dir: c.dir, Strict: strict, Poll: time.Minute}
}

func (c *customers) read(strict bool) *tenants {
	c.t.Helper()
	all, err := readTenants(c.config(strict), slog.New(slog.NewTextHandler(&c.log, nil)))
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// logged takes what was logged since the last call.
func (c *customers) logged() string {
	defer c.log.Reset()
	return c.log.String()
}

// again reads all again, and wants these roads to have changed.
func (c *customers) again(all *tenants, want ...string) {
	c.t.Helper()
	result := all.again()
	var got []string
	for _, road := range result.roads {
		got = append(got, road.Tenant+"/"+road.Provider)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		c.t.Errorf("changed are %v, want %v", got, want)
	}
	if repeat := all.again(); len(repeat.roads) > 0 || repeat.news {
		c.t.Errorf("read once more without a change: %+v", repeat)
	}
}

func TestAFaultyFileKeepsTheCredentialInUse(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	c.add("other")
	all := c.read(false)
	first, _ := all.find("acme")
	for _, row := range []struct {
		name    string
		breakIt func()
		says    []string
	}{
		{"expired", func() { c.certificate("acme", time.Now().Add(-time.Hour)) }, []string{"acme.yaml:2", "expired at", "the credential in use stays"}},
		{"others can read it", func() { os.Chmod(filepath.Join(c.dir, "acme.json"), 0o644) }, []string{"acme.yaml:3", "chmod 600", "the credential in use stays"}},
		{"missing", func() { os.Remove(filepath.Join(c.dir, "acme.pem")) }, []string{"acme.yaml:2", "no such file", "the credential in use stays"}},
		{"an impossible limit", func() { c.file("acme", "rate: -1\n") }, []string{"acme.yaml:4", "is not a number above 0", "the credential in use stays"}},
		{"no YAML", func() { c.write("acme.yaml", "tenant: [\n") }, []string{"acme.yaml:1", "is not YAML", "the credential in use stays"}},
	} {
		row.breakIt()
		c.logged()
		c.again(all)
		logged := c.logged()
		for _, says := range row.says {
			if !strings.Contains(logged, says) {
				t.Errorf("%s: it does not say %q:\n%s", row.name, says, logged)
			}
		}
		if now, _ := all.find("acme"); now.APNs.ID != first.APNs.ID || now.FCM.ID != first.FCM.ID || len(now.Unusable) > 0 {
			t.Errorf("%s: in force is %+v", row.name, now)
		}
		if ok, note := all.ready(); !ok || !strings.Contains(note, "in the tenants' files, such as "+c.dir) {
			t.Errorf("%s: ready %v, %q", row.name, ok, note)
		}
		c.add("acme")
		c.again(all, "acme/apns", "acme/fcm")
		if _, note := all.ready(); note != "" {
			t.Errorf("%s: mended, the note is %q", row.name, note)
		}
		first, _ = all.find("acme")
	}
}

func TestAFaultyCredentialAtTheStartIsHeldAndTheOtherUsed(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	c.certificate("acme", time.Now().Add(-time.Hour))
	c.write("nameless.yaml", "fcm: {service_account: acme.json}\n")
	all := c.read(false)
	logged := c.logged()
	for _, says := range []string{"wakes for its credential are held", "acme.yaml:2", "a tenant's file is left out", "tenant: is missing"} {
		if !strings.Contains(logged, says) {
			t.Errorf("it does not say %q:\n%s", says, logged)
		}
	}
	open := newSenders(ptr(DefaultConfig()), all, providers.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler)).open
	if held, known := open("acme", providers.APNs); !known || held.Sender != nil {
		t.Errorf("the expired certificate is %+v, %v", held, known)
	}
	used, known := open("acme", providers.FCM)
	if !known || used.Sender == nil {
		t.Fatalf("the service account is %+v, %v", used, known)
	}
	used.Sender.Close()
	if _, known := open("stranger", providers.FCM); known {
		t.Error("a stranger has a credential")
	}
}

func ptr[T any](value T) *T { return &value }

func TestStrictRefusesAllForOneFault(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	c.add("other")
	all := c.read(true)
	first, _ := all.find("other")

	c.file("acme", "weight: 0\nrate: 0\n")
	c.add("other")
	c.add("third")
	c.again(all)
	if now, _ := all.find("other"); now.APNs.ID != first.APNs.ID {
		t.Error("a change was taken beside a fault")
	}
	if logged := c.logged(); strings.Count(logged, "no change is taken until it is mended") != 2 {
		t.Errorf("it says:\n%s", logged)
	}
	_, err := readTenants(c.config(true), slog.New(slog.DiscardHandler))
	var faulty *faultsError
	if !errors.As(err, &faulty) || len(faulty.faults) != 2 || !strings.Contains(err.Error(), "acme.yaml:4: weight") || !strings.Contains(err.Error(), "acme.yaml:5: rate") {
		t.Errorf("a start gives %v", err)
	}
	c.file("acme", "")
	c.again(all, "other/apns", "other/fcm", "third/apns", "third/fcm")
}

func TestTenantsComeGoAndReturn(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	c.add("other")
	all := c.read(false)
	if err := os.Rename(filepath.Join(c.dir, "acme.yaml"), filepath.Join(c.dir, "acme.off")); err != nil {
		t.Fatal(err)
	}
	c.again(all, "acme/apns", "acme/fcm")
	if logged := c.logged(); strings.Count(logged, "a credential is gone") != 2 || !strings.Contains(logged, "acme.yaml") {
		t.Errorf("it says:\n%s", logged)
	}
	if _, known := all.find("acme"); known {
		t.Error("the tenant is still there")
	}
	if err := os.Rename(filepath.Join(c.dir, "acme.off"), filepath.Join(c.dir, "acme.yaml")); err != nil {
		t.Fatal(err)
	}
	c.again(all, "acme/apns", "acme/fcm")
	c.file("acme", "weight: 5\n")
	c.again(all, "acme/apns", "acme/fcm")

	// All at once is no customer's leaving but a disk's.
	for _, name := range []string{"acme.yaml", "other.yaml"} {
		if err := os.Remove(filepath.Join(c.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c.again(all)
	if err := os.RemoveAll(c.dir); err != nil {
		t.Fatal(err)
	}
	c.again(all)
	if _, known := all.find("acme"); !known {
		t.Error("without the directory the tenants are gone")
	}
	if logged := c.logged(); strings.Count(logged, "there are no tenants to be read: all stays in use") != 2 {
		t.Errorf("it says:\n%s", logged)
	}
}

func TestASenderWithoutAConnectionNamesItsTenant(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	log, wait := watchedLog(t)
	cfg := DefaultConfig()
	cfg.APNs.Host, cfg.APNs.Port, cfg.APNs.Connection.RootCA = "127.0.0.1", 1, filepath.Join(c.dir, "acme.pem")
	credential, _ := newSenders(&cfg, c.read(false), providers.NewMetrics(prometheus.NewRegistry()), log).open("acme", providers.APNs)
	defer credential.Sender.Close()
	credential.Sender.Send([]providers.Push{{Token: "00", PushMagic: "magic", Expires: time.Now().Add(time.Minute)}}, func([]providers.Result) {})
	if line := wait("no connection to the provider"); !strings.Contains(line, " tenant=acme ") || !strings.Contains(line, " port=1 ") {
		t.Errorf("it says %s", line)
	}
}

func TestTheSameCredentialKeepsItsSender(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	c.add("other")
	all := c.read(false)
	s := newSenders(ptr(DefaultConfig()), all, providers.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	open := func() dispatcher.Credential {
		t.Helper()
		credential, known := s.open("acme", providers.APNs)
		if !known || credential.Sender == nil {
			t.Fatalf("the credential is %+v, %v", credential, known)
		}
		t.Cleanup(credential.Sender.Close)
		return credential
	}
	first := open()
	if first.Rate != 0 || first.InFlight != 1000 || first.Weight != 1 {
		t.Errorf("without limits of its own it has %+v", first)
	}
	s.setRates(dispatcher.RatesConfig{PerCredential: 7, InFlight: 8})
	if again := open(); again.Sender != first.Sender || again.Rate != 7 || again.InFlight != 8 {
		t.Errorf("with other limits of the configuration it is %+v", again)
	}
	c.file("acme", "rate: 20\nin_flight: 30\nweight: 40\n")
	all.again()
	if again := open(); again.Sender != first.Sender || again.Rate != 20 || again.InFlight != 30 || again.Weight != 40 {
		t.Errorf("with limits of its own it is %+v", again)
	}
	c.certificate("acme", time.Now().Add(time.Hour))
	all.again()
	second := open()
	if second.Sender == first.Sender {
		t.Error("a renewed certificate has the sender of the old")
	}
	// Gone, the engine closes the sender: a return needs another.
	c.write("acme.yaml", "tenant: acme\nfcm: {service_account: acme.json}\n")
	all.again()
	if _, known := s.open("acme", providers.APNs); known {
		t.Error("a credential that is gone is known")
	}
	c.file("acme", "")
	all.again()
	if third := open(); third.Sender == second.Sender {
		t.Error("after its return a credential has a sender that is closed")
	}
}

func TestExpiriesAreTrueAfterAReloadAndBounded(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	c.add("other")
	all := c.read(false)
	reg := prometheus.NewRegistry()
	reg.MustRegister(all)
	series := func() map[string]float64 {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, family := range families {
			for _, m := range family.Metric {
				name := family.GetName()
				for _, label := range m.Label {
					name += "/" + label.GetValue()
				}
				values[name] = m.Gauge.GetValue()
			}
		}
		return values
	}
	const expiry = "pushd_credential_expiry_timestamp_seconds/apns/"
	at := time.Now().Add(100 * time.Hour).Truncate(time.Second)
	c.certificate("acme", at)
	if err := os.Remove(filepath.Join(c.dir, "other.yaml")); err != nil {
		t.Fatal(err)
	}
	all.again()
	got := series()
	if got[expiry+"acme"] != float64(at.Unix()) || got["pushd_tenants"] != 1 || got["pushd_tenant_faults"] != 0 || len(got) != 3 {
		t.Errorf("series are %v", got)
	}

	certificate, err := c.authority.PushCertificate("com.apple.mgmt.External.x", simulator.PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	many := map[string]providers.Tenant{}
	for i := range expirySeries + 10 {
		name := fmt.Sprintf("t%04d", i)
		many[name] = providers.Tenant{Name: name, APNs: until(t, certificate.TLS, time.Now().Add(time.Duration(i+1)*time.Hour))}
	}
	all.inForce.Store(&many)
	got = series()
	if _, last := got[expiry+"t1000"]; last || len(got) != expirySeries+2 || got[expiry+"t0999"] == 0 {
		t.Errorf("%d series", len(got))
	}
	c.logged()
	all.warnOfExpiry(time.Now())
	lines := strings.Split(strings.TrimSpace(c.logged()), "\n")
	if len(lines) != expiryLines+1 || !strings.Contains(lines[0], "level=ERROR") || !strings.Contains(lines[0], "days_left=0") ||
		!strings.Contains(lines[expiryLines], "certificates=700") {
		t.Errorf("%d lines, the last: %s", len(lines), lines[len(lines)-1])
	}
	all.warnOfExpiry(time.Now().Add(-20 * 24 * time.Hour))
	if first, _, _ := strings.Cut(c.logged(), "\n"); !strings.Contains(first, "level=WARN") || !strings.Contains(first, "days_left=20") {
		t.Errorf("20 days before: %s", first)
	}
	all.warnOfExpiry(time.Now().Add(-40 * 24 * time.Hour))
	if logged := c.logged(); logged != "" {
		t.Errorf("40 days before: %s", logged)
	}
}

// until is a credential that ends then.
func until(t *testing.T, certificate tls.Certificate, end time.Time) *providers.APNsCredential {
	t.Helper()
	leaf := *certificate.Leaf
	leaf.NotAfter, certificate.Leaf = end, &leaf
	credential, err := providers.NewAPNsCertificate(certificate, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

func TestACopyOfATenantsFileDoesNotTakeOver(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	c.add("other")
	all := c.read(false)
	before, _ := all.find("acme")
	c.write("acme-old.yaml", "tenant: acme\napns: {certificate: acme.pem}\nfcm: {service_account: other.json}\n") // sorts before acme.yaml
	c.again(all)
	after, _ := all.find("acme")
	if before.FCM.ID != after.FCM.ID || before.File != after.File {
		t.Errorf("the credential in use was of %s and is of %s", before.File, after.File)
	}
	if logged := c.logged(); !strings.Contains(logged, "acme-old.yaml:1") || !strings.Contains(logged, "the credential in use stays") {
		t.Errorf("it says:\n%s", logged)
	}
}
