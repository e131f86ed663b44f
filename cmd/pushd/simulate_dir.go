package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"pushd/dispatcher"
	"pushd/providers/simulator"
)

// trialDir is the directory of a trial:
//
//	authority.pem       who signs the simulators' certificates and the tenant's, with its key
//	ca.pem              the same without its key, which pushd trusts
//	tenants/acme.yaml   a tenant; beside it acme.pem, its push certificate with the key, and acme.json, its service account
//	pushd.yaml          the configuration of "pushd run"
//	kafka/  ledger/     what the embedded broker and "pushd run" keep
//
// A file that is there is never written again: a daemon that runs knows the authority, and what is in Kafka and in the
// ledger is the tenant's. Nobody but the owner can read any of it.
type trialDir string

const configName = "pushd.yaml"

// trialTenant is the name of a tenant, which its files have too.
type trialTenant string

func (t trialTenant) topic() string   { return "com.apple.mgmt.External." + string(t) }
func (t trialTenant) project() string { return string(t) + "-trial" }

func (t trialTenant) file(ending string) string { return "tenants/" + string(t) + ending }

// maxTrialTenants is where one connection for each credential of a tenant comes near to what a simulator takes.
const maxTrialTenants = 10_000

// tenants are the n tenants that are asked for, and those beyond that an earlier run has left.
func (d trialDir) tenants(n int) []trialTenant {
	all := []trialTenant{"acme"}
	for i := 2; i <= maxTrialTenants; i++ {
		t := trialTenant("acme-" + strconv.Itoa(i))
		if _, err := os.Stat(d.path(t.file(".yaml"))); i > n && err != nil {
			break
		}
		all = append(all, t)
	}
	return all
}

func (d trialDir) path(name string) string { return filepath.Join(string(d), name) }

// sub makes a directory in the directory, and the directory itself.
func (d trialDir) sub(name string) (string, error) {
	return d.path(name), os.MkdirAll(d.path(name), 0o700)
}

// keep reads a file, which it makes where it is missing.
func (d trialDir) keep(name string, make func() ([]byte, error)) ([]byte, error) {
	path := d.path(name)
	content, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	if content, err = make(); err != nil {
		return nil, err
	}
	// Under another name first, so that it is whole where it is.
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return nil, err
	}
	return content, os.Rename(path+".new", path)
}

// authority reads or makes the trial's authority.
func (d trialDir) authority() (*simulator.Authority, error) {
	if _, err := d.sub(""); err != nil {
		return nil, err
	}
	text, err := d.keep("authority.pem", func() ([]byte, error) {
		fresh, err := simulator.NewAuthority()
		if err != nil {
			return nil, err
		}
		return fresh.PEM()
	})
	if err != nil {
		return nil, err
	}
	authority, err := simulator.ParseAuthority(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; delete %s to begin anew", d.path("authority.pem"), err, d)
	}
	_, err = d.keep("ca.pem", func() ([]byte, error) { return authority.CertPEM(), nil })
	return authority, err
}

// writeTenants writes the tenants, each with its two credentials, and has fcm know their service accounts.
func (d trialDir) writeTenants(tenants []trialTenant, authority *simulator.Authority, fcm *simulator.FCM) error {
	if _, err := d.sub("tenants"); err != nil {
		return err
	}
	for _, t := range tenants {
		if err := d.writeTenant(t, authority, fcm); err != nil {
			return err
		}
	}
	return nil
}

func (d trialDir) writeTenant(t trialTenant, authority *simulator.Authority, fcm *simulator.FCM) error {
	_, err := d.keep(t.file(".pem"), func() ([]byte, error) {
		certificate, err := authority.PushCertificate(t.topic(), simulator.PushOptions{})
		if err != nil {
			return nil, err
		}
		return append(certificate.CertPEM, certificate.KeyPEM...), nil
	})
	if err != nil {
		return err
	}
	file, err := d.keep(t.file(".json"), func() ([]byte, error) {
		account, err := simulator.NewServiceAccount(t.project(), fcm.TokenURL(), nil)
		return account.JSON, err
	})
	if err != nil {
		return err
	}
	account, tokenURI, err := simulator.ParseServiceAccount(file)
	switch path := d.path(t.file(".json")); {
	case err != nil:
		return fmt.Errorf("%s: %w; delete it to have it written anew", path, err)
	case tokenURI != fcm.TokenURL():
		return usageError{fmt.Errorf("%s asks %s for access tokens, and they are at %s; give --fcm-token as before, or delete the file to have it written anew",
			path, tokenURI, fcm.TokenURL())}
	}
	fcm.Register(account)
	_, err = d.keep(t.file(".yaml"), func() ([]byte, error) { return t.yaml(), nil })
	return err
}

func (t trialTenant) yaml() []byte {
	return fmt.Appendf(nil, `# A tenant is a customer: its credentials, each in a file of its own that only its owner can read (mode 0600).
tenant: %[1]s
apns:
  certificate: %[1]s.pem # an MDM push certificate; its topic is in it
fcm:
  service_account: %[1]s.json
`, string(t))
}

// writeConfig writes the configuration of "pushd run". One that is there must name the addresses of this run.
func (d trialDir) writeConfig(t *trial) error {
	absolute, err := filepath.Abs(string(d))
	if err != nil {
		return err
	}
	if _, err := d.keep(configName, func() ([]byte, error) { return configYAML(trialDir(absolute), t), nil }); err != nil {
		return err
	}
	file, err := readConfigFile(d.path(configName), newCatalogue())
	if err != nil {
		return err
	}
	for _, address := range []struct{ key, flag, is string }{
		{"providers.apns.host", "--apns", t.apns.Host()},
		{"providers.apns.port", "--apns", strconv.Itoa(t.apns.Port())},
		{"providers.fcm.endpoint", "--fcm", t.fcm.URL() + "/v1"},
		{"kafka.brokers", "--broker", t.kafka},
	} {
		if address.key == "kafka.brokers" && t.broker == nil {
			continue // there may be more of them
		}
		if value, ok := file.values[address.key]; ok && value.text != address.is {
			return usageError{fmt.Errorf("%s:%d: %s is %q, and now it is %q; give %s as before, or delete the file to have it written anew",
				file.path, value.line, address.key, value.text, address.is, address.flag)}
		}
	}
	return nil
}

func configYAML(d trialDir, t *trial) []byte {
	durability := dispatcher.Replicated
	if t.broker != nil {
		durability = dispatcher.Local
	}
	return fmt.Appendf(nil, `# Written by "pushd simulate", which does not write it again: it is yours to change. docs/configuration.md has all settings.
kafka:
  brokers: [%q]
  create_topics: %t # the embedded broker has them; a Kafka of your own may not
store:
  dir: %q
retry:
  durability: %s # the embedded broker is on this machine, and lost with it
merge:
  interval: 5s # the default, 30s, is long for somebody who watches
tenants:
  dir: %q
providers:
  apns:
    host: %q
    port: %d
    root_ca: %q
  fcm:
    endpoint: %q
    root_ca: %q
`, t.kafka, t.broker == nil, d.path("ledger"), durability, d.path("tenants"), t.apns.Host(), t.apns.Port(), d.path("ca.pem"), t.fcm.URL()+"/v1", d.path("ca.pem"))
}
