package simulator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

var (
	// oidUserID is the subject attribute that holds the topic of an APNs certificate (RFC 4519, section 2.39).
	oidUserID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	// Apple's extensions that say for which environment a push certificate is good; a certificate may have both.
	oidSandbox    = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 1}
	oidProduction = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, 2}
)

// Authority is a certificate authority made for one run: it issues the servers' certificates and, as Apple's does, the
// push certificates of the tenants.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// NewAuthority makes an authority with a fresh P-256 key; nothing is written to disk.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate authority key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serialNumber(),
		Subject:               pkix.Name{CommonName: "Simulated Push Authority"},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign authority certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse authority certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &Authority{cert: cert, key: key, pool: pool}, nil
}

// CertPEM is the authority's certificate, for a client's list of roots.
func (a *Authority) CertPEM() []byte { return certPEM(a.cert.Raw) }

// Pool is the authority as the only root: the RootCAs of a client of the simulators.
func (a *Authority) Pool() *x509.CertPool { return a.pool.Clone() }

// WriteCert writes CertPEM to a file.
func (a *Authority) WriteCert(path string) error {
	if err := os.WriteFile(path, a.CertPEM(), 0o644); err != nil {
		return fmt.Errorf("write authority certificate: %w", err)
	}
	return nil
}

// Server issues a certificate for a server of these names or IP addresses; without any, for localhost and 127.0.0.1.
func (a *Authority) Server(names ...string) (tls.Certificate, error) {
	if len(names) == 0 {
		names = []string{"localhost", "127.0.0.1", "::1"}
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, key, err := a.issue(template)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issue server certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Environment says which of Apple's two services a push certificate or a server belongs to.
type Environment uint8

const (
	// AnyEnvironment: a certificate is good for both, a server asks for neither.
	AnyEnvironment Environment = iota
	Production
	Sandbox
)

// PushOptions are the properties of a push certificate that tests vary; the zero value is good for a year from now.
type PushOptions struct {
	NotBefore   time.Time   // zero: an hour ago
	NotAfter    time.Time   // zero: in a year
	Environment Environment // zero: both
	Password    string      // of the PKCS#12 form
}

// PushCertificate is an APNs client certificate with its key, in the forms in which operators keep them.
type PushCertificate struct {
	Topic   string
	CertPEM []byte
	KeyPEM  []byte // PKCS#8
	PKCS12  []byte // as Keychain Access exports it (3DES, SHA-1), under PushOptions.Password
	TLS     tls.Certificate
}

// PushCertificate issues a client certificate whose user id attribute is the topic, as Apple's MDM push certificates have it.
func (a *Authority) PushCertificate(topic string, opts PushOptions) (*PushCertificate, error) {
	if opts.NotBefore.IsZero() {
		opts.NotBefore = time.Now().Add(-time.Hour)
	}
	if opts.NotAfter.IsZero() {
		opts.NotAfter = time.Now().AddDate(1, 0, 0)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{
			CommonName: "APSP:" + strings.TrimPrefix(topic, "com.apple.mgmt.External."),
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: topic}},
		},
		NotBefore:   opts.NotBefore,
		NotAfter:    opts.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	null := []byte{asn1.TagNull, 0}
	if opts.Environment != Production {
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oidSandbox, Value: null})
	}
	if opts.Environment != Sandbox {
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oidProduction, Value: null})
	}
	der, key, err := a.issue(template)
	if err != nil {
		return nil, fmt.Errorf("issue push certificate: %w", err)
	}
	return newPushCertificate(topic, der, key, opts.Password)
}

func newPushCertificate(topic string, der []byte, key *ecdsa.PrivateKey, password string) (*PushCertificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse push certificate: %w", err)
	}
	keyPEM, err := privateKeyPEM(key)
	if err != nil {
		return nil, err
	}
	p12, err := pkcs12.LegacyDES.Encode(key, cert, nil, password)
	if err != nil {
		return nil, fmt.Errorf("encode PKCS#12: %w", err)
	}
	return &PushCertificate{
		Topic:   topic,
		CertPEM: certPEM(der),
		KeyPEM:  keyPEM,
		PKCS12:  p12,
		TLS:     tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert},
	}, nil
}

func (a *Authority) issue(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	template.SerialNumber = serialNumber()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate: %w", err)
	}
	return der, key, nil
}

// ProviderKey is an APNs authentication key: what Apple gives as AuthKey_<KeyID>.p8, with the ids that go with it.
type ProviderKey struct {
	PEM    []byte // PKCS#8, the .p8 file
	KeyID  string // "kid", 10 characters
	TeamID string // "iss", 10 characters
	Public *ecdsa.PublicKey
	// Topics the key may push to. Empty means each topic but com.apple.mgmt.*, which belong to no team.
	Topics []string
}

// NewProviderKey makes a P-256 authentication key with fresh ids.
func NewProviderKey() (ProviderKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return ProviderKey{}, fmt.Errorf("generate provider key: %w", err)
	}
	p8, err := privateKeyPEM(key)
	if err != nil {
		return ProviderKey{}, err
	}
	id := rand.Text()
	return ProviderKey{PEM: p8, KeyID: id[:10], TeamID: id[10:20], Public: &key.PublicKey}, nil
}

// ServiceAccount is a Google service account: the JSON file that an operator downloads, and what a server knows of it.
type ServiceAccount struct {
	JSON    []byte // the credentials file, with the private key
	Project string
	Email   string
	KeyID   string
	Public  *rsa.PublicKey
}

// NewServiceAccount makes the service account of a project whose tokens come from tokenURI. key may be shared by many
// accounts, as generating one takes a tenth of a second; nil means SharedRSAKey.
func NewServiceAccount(project, tokenURI string, key *rsa.PrivateKey) (ServiceAccount, error) {
	if key == nil {
		var err error
		if key, err = SharedRSAKey(); err != nil {
			return ServiceAccount{}, err
		}
	}
	keyPEM, err := privateKeyPEM(key)
	if err != nil {
		return ServiceAccount{}, err
	}
	email := "pushd@" + project + ".iam.gserviceaccount.com"
	keyID := strings.ToLower(rand.Text())
	file, err := json.MarshalIndent(map[string]string{
		"type":            "service_account",
		"project_id":      project,
		"private_key_id":  keyID,
		"private_key":     string(keyPEM),
		"client_email":    email,
		"client_id":       serialNumber().String(),
		"token_uri":       tokenURI,
		"universe_domain": "googleapis.com",
	}, "", "  ")
	if err != nil {
		return ServiceAccount{}, fmt.Errorf("encode service account: %w", err)
	}
	return ServiceAccount{JSON: file, Project: project, Email: email, KeyID: keyID, Public: &key.PublicKey}, nil
}

// SharedRSAKey is a 2048-bit key made when first asked for and kept for the life of the process.
var SharedRSAKey = sync.OnceValues(func() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("generate RSA key: %w", err)
	}
	return key, nil
})

func serialNumber() *big.Int {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return new(big.Int).SetBytes(b[:])
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func privateKeyPEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// errNoTopic: a certificate without the user id attribute is none of a push service.
var errNoTopic = errors.New("certificate has no user id attribute")

// certificateTopic verifies a client certificate against the authority and returns its topic.
func (a *Authority) certificateTopic(cert *x509.Certificate, now time.Time) (string, error) {
	_, err := cert.Verify(x509.VerifyOptions{
		Roots:       a.pool,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return "", fmt.Errorf("verify client certificate: %w", err)
	}
	for _, name := range cert.Subject.Names {
		if topic, ok := name.Value.(string); ok && name.Type.Equal(oidUserID) {
			return topic, nil
		}
	}
	return "", errNoTopic
}

// goodFor reports whether a push certificate may be used in an environment.
func goodFor(cert *x509.Certificate, env Environment) bool {
	want := oidProduction
	switch env {
	case AnyEnvironment:
		return true
	case Sandbox:
		want = oidSandbox
	}
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(want) {
			return true
		}
	}
	return false
}
