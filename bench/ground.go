package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"pushd/providers"
	"pushd/providers/connection"
)

const (
	tenant  = "bench"
	topic   = "com.apple.mgmt.External.0f5d2c1e-8a3b-4c6d-9e7f-102030405060"
	project = "bench-project"
	magic   = "0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9" // what the push magic of a device looks like
)

// ground is what the contenders push to: two simulators, and the files of one tenant, which they know.
type ground struct {
	Dir      string // of the files
	APNs     string // host:port
	FCM      string // URL of the API
	Accounts string // URL where the simulators' accounts can be asked for, by provider
	KeyID    string // of the key that stands in provider.p8
	TeamID   string
}

func (g *ground) caFile() string      { return filepath.Join(g.Dir, "ca.pem") }
func (g *ground) tenantsDir() string  { return filepath.Join(g.Dir, "tenants") }
func (g *ground) certificate() string { return filepath.Join(g.tenantsDir(), "bench.pem") }
func (g *ground) key() string         { return filepath.Join(g.tenantsDir(), "bench.key") }
func (g *ground) account() string     { return filepath.Join(g.tenantsDir(), "bench.json") }
func (g *ground) providerKey() string { return filepath.Join(g.Dir, "provider.p8") }

// apnsAddress is APNs' host and port.
func (g *ground) apnsAddress() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(g.APNs)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

// pushCertificate is the tenant's.
func (g *ground) pushCertificate() (tls.Certificate, error) {
	return tls.LoadX509KeyPair(g.certificate(), g.key())
}

// apnsCredential is the tenant's push certificate as pushd has it.
func (g *ground) apnsCredential() (*providers.APNsCredential, error) {
	pair, err := g.pushCertificate()
	if err != nil {
		return nil, err
	}
	return providers.NewAPNsCertificate(pair, "", time.Now())
}

// fcmCredential is the tenant's service account as pushd has it.
func (g *ground) fcmCredential() (*providers.FCMCredential, error) {
	text, err := g.accountJSON()
	if err != nil {
		return nil, err
	}
	return providers.NewFCMCredential(text)
}

func (g *ground) accountJSON() ([]byte, error) { return os.ReadFile(g.account()) }

// tls verifies the simulators.
func (g *ground) tls() (*tls.Config, error) {
	config, err := connection.Config{RootCA: g.caFile()}.TLSConfig()
	if err != nil {
		return nil, fmt.Errorf("verify the simulators: %w", err)
	}
	return config, nil
}
