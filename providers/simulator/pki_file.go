package simulator

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// PEM is the authority with its key, for a file that only its owner reads: from it ParseAuthority makes the same one
// again, so that clients that trust it go on doing so after a restart.
func (a *Authority) PEM() ([]byte, error) {
	key, err := privateKeyPEM(a.key)
	if err != nil {
		return nil, err
	}
	return append(a.CertPEM(), key...), nil
}

// ParseAuthority makes an authority of what PEM gave.
func ParseAuthority(text []byte) (*Authority, error) {
	certificate, rest := pem.Decode(text)
	if certificate == nil || certificate.Type != "CERTIFICATE" {
		return nil, errors.New("parse authority: no certificate comes first")
	}
	cert, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	parsed, err := parsePrivateKey(rest)
	if err != nil {
		return nil, fmt.Errorf("parse authority: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("parse authority: the key is not the certificate's")
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &Authority{cert: cert, key: key, pool: pool}, nil
}

// ParseServiceAccount makes a service account of its JSON file, so that FCM.Register can take one of an earlier run.
// tokenURI is where it asks for access tokens: FCM.TokenURL of the server that it is for.
func ParseServiceAccount(file []byte) (account ServiceAccount, tokenURI string, err error) {
	var fields struct {
		Project    string `json:"project_id"`
		Email      string `json:"client_email"`
		KeyID      string `json:"private_key_id"`
		PrivateKey string `json:"private_key"`
		TokenURI   string `json:"token_uri"`
	}
	if err := json.Unmarshal(file, &fields); err != nil {
		return ServiceAccount{}, "", fmt.Errorf("parse service account: %w", err)
	}
	parsed, err := parsePrivateKey([]byte(fields.PrivateKey))
	if err != nil {
		return ServiceAccount{}, "", fmt.Errorf("parse service account: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return ServiceAccount{}, "", errors.New("parse service account: its key is not an RSA key")
	}
	return ServiceAccount{
		JSON: bytes.Clone(file), Project: fields.Project, Email: fields.Email, KeyID: fields.KeyID, Public: &key.PublicKey,
	}, fields.TokenURI, nil
}

// parsePrivateKey is the other side of privateKeyPEM.
func parsePrivateKey(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("there is no private key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return key, nil
}
