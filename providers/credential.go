package providers

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// APNsCredential is what a tenant authenticates with at APNs: a push certificate, or a key that signs provider
// tokens. A credential never changes; a renewed one is another value with another ID.
type APNsCredential struct {
	ID    string // names the credential in logs and metrics, and changes when it is replaced; no secret
	Topic string // for an MDM certificate the UID attribute of its subject: com.apple.mgmt.External.…

	// Certificate authenticates the connection. Where Token is set it holds nothing.
	Certificate Secret[*tls.Certificate]
	// Token authenticates each request; nil with a certificate.
	Token *APNsKey

	expiry time.Time
}

// APNsKey signs provider tokens ("Establishing a token-based connection to APNs").
type APNsKey struct {
	KeyID  string
	TeamID string
	Key    Secret[*ecdsa.PrivateKey]
}

// Expiry is when the certificate ends; zero for a key, which does not.
func (c *APNsCredential) Expiry() time.Time { return c.expiry }

// uidAttribute is the subject attribute in which Apple puts a push certificate's topic.
var uidAttribute = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}

// NewAPNsCertificate makes a credential of a certificate and its key, checked against each other and against now.
// An empty topic means the certificate's own; another topic than the certificate's own is refused.
func NewAPNsCertificate(certificate tls.Certificate, topic string, now time.Time) (*APNsCredential, error) {
	leaf := certificate.Leaf
	if leaf == nil {
		return nil, errors.New("the certificate is not parsed")
	}
	var faults []error
	if key, ok := certificate.PrivateKey.(crypto.Signer); !ok {
		faults = append(faults, errors.New("the key cannot sign"))
	} else if public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(key.Public()) {
		faults = append(faults, errors.New("the key does not belong to the certificate"))
	}
	if now.After(leaf.NotAfter) {
		faults = append(faults, fmt.Errorf("the certificate expired at %s; renew the same certificate, a new one has a new topic",
			leaf.NotAfter.UTC().Format(time.RFC3339)))
	}
	if now.Before(leaf.NotBefore) {
		faults = append(faults, fmt.Errorf("the certificate is not valid before %s; is the clock right?", leaf.NotBefore.UTC().Format(time.RFC3339)))
	}
	own := certificateTopic(leaf)
	switch {
	case topic == "" && own == "":
		faults = append(faults, errors.New("the certificate's subject has no UID attribute: give the topic"))
	case topic != "" && own != "" && topic != own:
		faults = append(faults, fmt.Errorf("the topic is %q, but the certificate's UID is %q; leave the topic out", topic, own))
	case topic == "":
		topic = own
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &APNsCredential{
		ID:          fingerprint(append([][]byte{[]byte(topic)}, certificate.Certificate...)...), // with the chain: it is sent, too
		Topic:       topic,
		Certificate: NewSecret(&certificate),
		expiry:      leaf.NotAfter,
	}, nil
}

func certificateTopic(leaf *x509.Certificate) string {
	for _, attribute := range leaf.Subject.Names {
		if attribute.Type.Equal(uidAttribute) {
			topic, _ := attribute.Value.(string)
			return topic
		}
	}
	return ""
}

// ParsePKCS12 reads a certificate, its chain and its key from a .p12 file.
func ParsePKCS12(data []byte, password string) (tls.Certificate, error) {
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return tls.Certificate{}, errors.New("the password is wrong; it is read from password_file")
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("not a usable .p12 file: %w; export certificate and key into a new one", err)
	}
	certificate := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, issuer := range chain {
		certificate.Certificate = append(certificate.Certificate, issuer.Raw)
	}
	return certificate, nil
}

// File is what stands in a file that a tenant's file names, with its path for whoever has to mend it.
type File struct {
	Path string
	Data []byte
}

// ParsePEM reads a certificate, its chain and its key from PEM blocks, which may stand in one file or in two. Each error
// begins with the file that has the fault.
func ParsePEM(certificate, key File) (tls.Certificate, error) {
	for _, file := range []File{certificate, key} {
		if block, _ := pem.Decode(file.Data); block == nil {
			return tls.Certificate{}, fmt.Errorf("%s: there is nothing in PEM form, which begins with -----BEGIN; write it anew from where it came, or give a .p12", file.Path)
		}
	}
	switch {
	case !bytes.Contains(certificate.Data, []byte("BEGIN CERTIFICATE")):
		return tls.Certificate{}, fmt.Errorf("%s: no certificate is there; name its file with certificate", certificate.Path)
	case bytes.Contains(key.Data, []byte("ENCRYPTED")):
		return tls.Certificate{}, fmt.Errorf("%s: the key is encrypted: put certificate and key into a .p12 file with a password_file", key.Path)
	case !bytes.Contains(key.Data, []byte("PRIVATE KEY")):
		return tls.Certificate{}, fmt.Errorf("%s: no private key is there: name its file with key", key.Path)
	}
	pair, err := tls.X509KeyPair(certificate.Data, key.Data)
	switch {
	case err == nil:
		return pair, nil
	case strings.Contains(err.Error(), "does not match"): // crypto/tls has no better name for it
		return tls.Certificate{}, fmt.Errorf("%s: its key is not that of the certificate in %s; name the key that the certificate was requested with", key.Path, certificate.Path)
	case strings.Contains(err.Error(), "private key"):
		return tls.Certificate{}, fmt.Errorf("%s: the key cannot be read; write it anew from where it came", key.Path)
	}
	return tls.Certificate{}, fmt.Errorf("%s: the certificate cannot be read (%s); write it anew from where it came", certificate.Path, strings.TrimPrefix(err.Error(), "tls: "))
}

// identifierLength is how long Apple's key and team identifiers are.
const identifierLength = 10

// NewAPNsKey makes a credential of a .p8 file: an EC P-256 key in PKCS #8 and PEM.
func NewAPNsKey(p8 File, keyID, teamID, topic string) (*APNsCredential, error) {
	var faults []error
	if topic == "" {
		faults = append(faults, errors.New("topic is missing: a provider token names none"))
	}
	if !identifier(keyID) {
		faults = append(faults, fmt.Errorf("key_id is not %d capital letters and digits; it stands in the name of the AuthKey_....p8 file", identifierLength))
	}
	if !identifier(teamID) {
		faults = append(faults, fmt.Errorf("team_id is not %d capital letters and digits; Apple shows it beside the team's name", identifierLength))
	}
	key, err := parseP8(p8)
	if err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("the p8 key is not on its curve: %w", err)
	}
	return &APNsCredential{
		ID:    fingerprint([]byte(topic), []byte(keyID), []byte(teamID), public),
		Topic: topic,
		Token: &APNsKey{KeyID: keyID, TeamID: teamID, Key: NewSecret(key)},
	}, nil
}

func identifier(s string) bool {
	return len(s) == identifierLength && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

func parseP8(p8 File) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(p8.Data)
	if block == nil {
		return nil, fmt.Errorf("%s: there is nothing in PEM form; take the AuthKey_....p8 file as Apple gave it", p8.Path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: there is no PKCS #8 key; take the AuthKey_....p8 file as Apple gave it", p8.Path)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: the key is not EC P-256, which ES256 needs; take the AuthKey_....p8 file as Apple gave it", p8.Path)
	}
	return key, nil
}

// FCMCredential is a Google service account of one Firebase project. It never changes; a renewed one is another value
// with another ID.
type FCMCredential struct {
	ID          string // as APNsCredential.ID
	File        string // where it stands; empty where it was made of no file
	ProjectID   string
	ClientEmail string
	TokenURI    *url.URL       // where access tokens are had; always https
	Account     Secret[[]byte] // the JSON file
}

// Expiry is zero: a service account's key has no end of its own.
func (c *FCMCredential) Expiry() time.Time { return time.Time{} }

// NewFCMCredential makes a credential of a service account's JSON file.
func NewFCMCredential(account []byte) (*FCMCredential, error) {
	var fields struct {
		Type        string `json:"type"`
		ProjectID   string `json:"project_id"`
		ClientEmail string `json:"client_email"`
		PrivateKey  string `json:"private_key"`
		TokenURI    string `json:"token_uri"`
	}
	if err := json.Unmarshal(account, &fields); err != nil {
		return nil, errors.New("this is not the JSON file of a service account, or not all of it; have Google make a new key, and take the file as it is")
	}
	var faults []error
	if fields.Type != "service_account" {
		faults = append(faults, fmt.Errorf("type is %q, not \"service_account\"; take the key file of a service account", fields.Type))
	}
	for _, f := range []struct{ name, value string }{
		{"project_id", fields.ProjectID}, {"client_email", fields.ClientEmail},
		{"private_key", fields.PrivateKey}, {"token_uri", fields.TokenURI},
	} {
		if f.value == "" {
			faults = append(faults, fmt.Errorf("%s is missing; take the file as Google gave it", f.name))
		}
	}
	if strings.Trim(fields.ProjectID, "abcdefghijklmnopqrstuvwxyz0123456789-:.") != "" {
		faults = append(faults, fmt.Errorf("project_id %q holds what no project has in its name; take the file as Google gave it", fields.ProjectID))
	}
	if fields.PrivateKey != "" && !signingKey(fields.PrivateKey) {
		faults = append(faults, errors.New("private_key is no PEM block with an RSA key; take the file as Google gave it"))
	}
	tokenURI, err := url.Parse(fields.TokenURI)
	if fields.TokenURI != "" && (err != nil || tokenURI.Scheme != "https" || tokenURI.Host == "" || tokenURI.User != nil) {
		faults = append(faults, errors.New("token_uri is not an https address; Google's is https://oauth2.googleapis.com/token"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &FCMCredential{
		ID:          fingerprint(account),
		ProjectID:   fields.ProjectID,
		ClientEmail: fields.ClientEmail,
		TokenURI:    tokenURI,
		Account:     NewSecret(account),
	}, nil
}

// signingKey says whether text is a PEM block with an RSA key, as PKCS #8 or PKCS #1.
func signingKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return true
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return false
	}
	_, ok := key.(*rsa.PrivateKey)
	return ok
}

// fingerprint names what a credential is made of without giving it away.
func fingerprint(parts ...[]byte) string {
	hash := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(hash, "%d:", len(part))
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
