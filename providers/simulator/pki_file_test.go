package simulator

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestAnAuthorityThatWasWrittenDownIsTheSame(t *testing.T) {
	t.Parallel()
	first, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	written, err := first.PEM()
	if err != nil {
		t.Fatal(err)
	}
	second, err := ParseAuthority(written)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.CertPEM(), second.CertPEM()) {
		t.Error("it has another certificate")
	}
	issued, err := second.PushCertificate("com.apple.mgmt.External.x", PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if topic, err := first.certificateTopic(issued.TLS.Leaf, time.Now()); err != nil || topic != issued.Topic {
		t.Errorf("the first does not know what the second has issued: %q, %v", topic, err)
	}
	server, err := second.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(server.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: first.Pool()}); err != nil {
		t.Errorf("a client of the first does not trust the second's server: %v", err)
	}
}

func TestWhatIsNoAuthorityIsRefused(t *testing.T) {
	t.Parallel()
	one, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	two, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := one.PEM()
	if err != nil {
		t.Fatal(err)
	}
	account, err := NewServiceAccount("p", "https://127.0.0.1/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := SharedRSAKey()
	if err != nil {
		t.Fatal(err)
	}
	otherKind, err := privateKeyPEM(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"nothing":                     nil,
		"a certificate without a key": one.CertPEM(),
		"the key alone":               bytes.TrimPrefix(whole, one.CertPEM()),
		"another's certificate":       append(two.CertPEM(), bytes.TrimPrefix(whole, one.CertPEM())...),
		"a key of another kind":       append(one.CertPEM(), otherKind...),
		"a service account":           account.JSON,
		"a key that is cut":           append(one.CertPEM(), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"...),
	} {
		if _, err := ParseAuthority(text); err == nil || !strings.HasPrefix(err.Error(), "parse authority: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAServiceAccountThatWasWrittenDownIsTheSame(t *testing.T) {
	t.Parallel()
	first, err := NewServiceAccount("project-1", "https://127.0.0.1:1/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	second, tokenURI, err := ParseServiceAccount(first.JSON)
	if err != nil {
		t.Fatal(err)
	}
	if second.Project != first.Project || second.Email != first.Email || second.KeyID != first.KeyID ||
		!second.Public.Equal(first.Public) || !bytes.Equal(second.JSON, first.JSON) || tokenURI != "https://127.0.0.1:1/token" {
		t.Errorf("it is not the same: %s, %s, %s, %s", second.Project, second.Email, second.KeyID, tokenURI)
	}
	authority, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	ec, err := privateKeyPEM(authority.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{}", `{"private_key": ` + quote(string(ec)) + `}`} {
		if _, _, err := ParseServiceAccount([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "parse service account: ") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"` }

// FuzzWhatAnEarlierRunLeft: an authority or a service account that is read from a file is one that can be written down again
// and is the same then.
func FuzzWhatAnEarlierRunLeft(f *testing.F) {
	authority, err := NewAuthority()
	if err != nil {
		f.Fatal(err)
	}
	written, err := authority.PEM()
	if err != nil {
		f.Fatal(err)
	}
	account, err := NewServiceAccount("acme", "https://127.0.0.1/token", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(written)
	f.Add(authority.CertPEM())
	f.Add(account.JSON)
	f.Fuzz(func(t *testing.T, text []byte) {
		if a, err := ParseAuthority(text); err == nil {
			again, err := a.PEM()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := ParseAuthority(again); err != nil || !bytes.Equal(a.CertPEM(), b.CertPEM()) {
				t.Errorf("written down and read again it is another: %v", err)
			}
		}
		if a, _, err := ParseServiceAccount(text); err == nil && (a.Public == nil || !bytes.Equal(a.JSON, text)) {
			t.Errorf("a service account without a key, or of another file: %+v", a)
		}
	})
}
