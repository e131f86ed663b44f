package kafkatest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsMissingIsNamedWithItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	if _, err := Start(context.Background(), Options{}); err == nil || !strings.Contains(err.Error(), "apt-get install default-jre-headless maven") {
		t.Errorf("without java: %v", err)
	}
	if _, err := artifacts(context.Background()); err == nil || !strings.Contains(err.Error(), "apt-get install default-jre-headless maven") {
		t.Errorf("without mvn: %v", err)
	}
}

func TestVersionIsWhatThePOMNames(t *testing.T) {
	t.Parallel()
	if n := bytes.Count(pom, []byte("<version>"+Version+"</version>")); n != 2 {
		t.Errorf("pom.xml names version %s %d times, want twice", Version, n)
	}
}

func TestTheCertificateIsGoodForThisMachine(t *testing.T) {
	t.Parallel()
	ca, store := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "broker.pem")
	if err := writeCertificates(ca, store); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(store, store)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, name := range []string{"localhost", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheEnvironmentLeadsToTheBroker(t *testing.T) {
	want := Kafka{Addr: "127.0.0.1:1", SASLAddr: "127.0.0.1:2", CAFile: "/ca.pem", User: "u", Password: "p=w"}
	if os.Getenv(envAddr) == "" && FromEnv() != nil {
		t.Error("a broker comes from nowhere")
	}
	for _, line := range want.Env() {
		name, value, _ := strings.Cut(line, "=")
		t.Setenv(name, value)
	}
	got := FromEnv()
	if got == nil || got.Addr != want.Addr || got.SASLAddr != want.SASLAddr || got.CAFile != want.CAFile || got.User != want.User || got.Password != want.Password {
		t.Errorf("%+v, want %+v", got, want)
	}
}
