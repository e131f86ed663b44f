package fcm

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"pushd/providers/simulator"
)

func TestTagsAndDefaultConfigAgree(t *testing.T) {
	t.Parallel()
	var tagged Config
	if err := kong.ApplyDefaults(&tagged); err != nil {
		t.Fatal(err)
	}
	if tagged != DefaultConfig() {
		t.Errorf("tags say %+v, DefaultConfig %+v", tagged, DefaultConfig())
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesAllFaultsByTheirKeys(t *testing.T) {
	t.Parallel()
	err := Config{}.Validate()
	for _, key := range []string{
		"endpoint", "connections", "request_timeout", "retry.unavailable", "retry.quota", "dial_rate", "dial_timeout",
		"ping_interval", "ping_timeout",
	} {
		if !strings.Contains(err.Error(), "providers.fcm."+key+":") {
			t.Errorf("no fault of %s in:\n%v", key, err)
		}
	}
}

func TestAnotherEndpointThanGooglesNeedsItsOwnAuthority(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "root.pem")
	authority, err := simulator.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.WriteCert(root); err != nil {
		t.Fatal(err)
	}
	for endpoint, withAuthority := range map[string]bool{
		"https://fcm.googleapis.com.evil.example/v1":  true,
		"https://evil.example/v1":                     true,
		"https://fcm.googleapis.com:8443/v1":          true,
		"https://127.0.0.1:1/v1":                      true,
		"http://fcm.googleapis.com/v1":                false,
		"https://x@fcm.googleapis.com/v1":             false,
		"https://fcm.googleapis.com/v1?key=x":         false,
		"https:///v1":                                 false,
		"fcm.googleapis.com":                          false,
		"https://fcm.googleapis.com/v1#x":             false,
		"https://fcm.googleapis.com@evil.example/v1/": false,
	} {
		cfg := DefaultConfig()
		cfg.Endpoint = endpoint
		if cfg.Validate() == nil {
			t.Errorf("%s is accepted without root_ca", endpoint)
		}
		cfg.Connection.RootCA = root
		if err := cfg.Validate(); (err == nil) != withAuthority {
			t.Errorf("%s with root_ca: %v", endpoint, err)
		}
	}
}
