package apns

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
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
	err := Config{Host: "push.example.com"}.Validate()
	for _, key := range []string{
		"host", "port", "connections", "streams", "request_timeout", "retry.server_error", "retry.device",
		"retry.token_updates", "dial_rate", "dial_timeout", "ping_interval", "ping_timeout",
	} {
		if !strings.Contains(err.Error(), "providers.apns."+key+":") {
			t.Errorf("no fault of %s in:\n%v", key, err)
		}
	}
}

func TestAnotherHostThanApplesNeedsItsOwnAuthority(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.RequestTimeout = time.Minute
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := authority().WriteCert(root); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"api.push.apple.com.evil.example", "evil.example", "", "localhost", "API.PUSH.APPLE.COM"} {
		cfg.Host, cfg.Connection.RootCA = host, ""
		if cfg.Validate() == nil {
			t.Errorf("%q is accepted without root_ca", host)
		}
		cfg.Connection.RootCA = root
		if err := cfg.Validate(); (err != nil) != (host == "") {
			t.Errorf("%q with root_ca: %v", host, err)
		}
	}
}
