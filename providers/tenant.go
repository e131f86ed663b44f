package providers

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// Tenant is a customer: its credentials, and how much it may send with them.
type Tenant struct {
	Name     string
	File     string          // where it stands
	APNs     *APNsCredential // nil where the tenant has no Apple devices, or the credential is unusable
	FCM      *FCMCredential  // nil where it has no Android devices, or the credential is unusable
	Unusable []string        // providers for which the tenant has a credential with a fault: its wakes can wait until that is mended
	Rate     float64         // pushes per second of each of its credentials; 0 means the configuration's
	InFlight int             // pushes under way of each of its credentials; 0 means the configuration's
	Weight   int             // its share of turns under a limit that tenants share, 1 to 100
}

// CredentialID is the ID of the tenant's credential at a provider; empty where it has none that can be used.
func (t Tenant) CredentialID(provider string) string {
	switch {
	case provider == APNs && t.APNs != nil:
		return t.APNs.ID
	case provider == FCM && t.FCM != nil:
		return t.FCM.ID
	}
	return ""
}

// maxWeight bounds the share of one tenant.
const maxWeight = 100

// maxTenantName is what an event can name, in bytes.
const maxTenantName = 64

// maxCredentialFile bounds what is read of a file named in a tenant file, in bytes.
const maxCredentialFile = 1 << 20

// TenantFile is the YAML of one tenant. Its tags say what a key is for, where it must be there, and its bounds.
type TenantFile struct {
	Tenant   string    `yaml:"tenant" required:"" help:"The tenant as events name it: up to 64 bytes, no slash."`
	APNs     *apnsFile `yaml:"apns" help:"The credential for Apple devices: an MDM push certificate, or a .p8 key where there is no MDM."`
	FCM      *fcmFile  `yaml:"fcm" help:"The credential for Android devices."`
	Rate     *float64  `yaml:"rate" above:"0" help:"Pushes per second of each of the tenant's credentials, above 0; without it rates.per_credential or rates.per_project of the configuration."`
	InFlight *int      `yaml:"in_flight" min:"1" help:"Pushes under way of each of the tenant's credentials; without it rates.in_flight of the configuration."`
	Weight   *int      `yaml:"weight" min:"1" max:"100" help:"The tenant's share of turns under a limit that tenants share; without it 1."`
}

type apnsFile struct {
	Certificate  string `yaml:"certificate" help:"File of the push certificate: PEM, with the key in it or in the file named by key, or .p12."`
	Key          string `yaml:"key" help:"PEM file of the certificate's key, of mode 0600, where it is not in the certificate's own file."`
	PasswordFile string `yaml:"password_file" help:"File with the password of a .p12, of mode 0600."`
	P8           string `yaml:"p8" help:"File of an APNs authentication key (AuthKey_....p8), of mode 0600, instead of a certificate. MDM topics need a certificate."`
	KeyID        string `yaml:"key_id" help:"Apple's identifier of the .p8 key: 10 capital letters and digits."`
	TeamID       string `yaml:"team_id" help:"Apple's identifier of the team that the .p8 key belongs to: 10 capital letters and digits."`
	Topic        string `yaml:"topic" help:"The topic: with a .p8 key the app's bundle ID; with a certificate only where its subject has no UID."`
}

type fcmFile struct {
	ServiceAccount string `yaml:"service_account" required:"" help:"JSON file of a Google service account, of mode 0600."`
}

// loadTenant reads one file. A tenant without a name is one that cannot be told from others.
func loadTenant(path string, now time.Time) (*document, Tenant) {
	doc, file := readTenantFile(path)
	tenant := Tenant{File: path, Weight: 1}
	if file == nil {
		return doc, tenant
	}
	if err := tenantName(file.Tenant); err != nil {
		doc.check("tenant", err)
	} else {
		tenant.Name = file.Tenant
	}
	if doc.lines[APNs] == 0 && doc.lines[FCM] == 0 {
		doc.check("", errors.New("neither apns nor fcm is given: the tenant could send nothing"))
	}
	if file.APNs != nil {
		tenant.APNs = doc.apns(file.APNs, now)
	}
	if file.FCM != nil {
		tenant.FCM = doc.fcm(file.FCM)
	}
	doc.limits(file, &tenant)
	return doc, tenant
}

// limits takes what a tenant may send. What is faulty stays as it is without.
func (d *document) limits(file *TenantFile, tenant *Tenant) {
	if rate := file.Rate; rate != nil {
		if *rate > 0 && !math.IsInf(*rate, 0) {
			tenant.Rate = *rate
		} else {
			d.check("rate", fmt.Errorf("%g pushes per second is not a number above 0", *rate))
		}
	}
	if inFlight := file.InFlight; inFlight != nil {
		if *inFlight >= 1 {
			tenant.InFlight = *inFlight
		} else {
			d.check("in_flight", fmt.Errorf("%d is below 1; leave it out to have rates.in_flight", *inFlight))
		}
	}
	if weight := file.Weight; weight != nil {
		if *weight >= 1 && *weight <= maxWeight {
			tenant.Weight = *weight
		} else {
			d.check("weight", fmt.Errorf("%d is not from 1 to %d", *weight, maxWeight))
		}
	}
}

// tenantName checks what becomes the part of a record's key before the first slash.
func tenantName(name string) error {
	switch {
	case name == "":
		return errors.New("is missing; name the tenant as events do")
	case len(name) > maxTenantName:
		return fmt.Errorf("the name is longer than %d bytes", maxTenantName)
	case strings.Contains(name, "/") || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%q holds a slash or a character that cannot be printed", name)
	}
	return nil
}

// apns loads the credential that an apns section names; nil with faults.
func (d *document) apns(file *apnsFile, now time.Time) *APNsCredential {
	token := file.P8 != "" || file.KeyID != "" || file.TeamID != ""
	switch {
	case token && (file.Certificate != "" || file.Key != "" || file.PasswordFile != ""):
		d.check("apns", errors.New("a certificate and a p8 key exclude each other; MDM needs the certificate"))
		return nil
	case token:
		p8, ok := d.read("apns.p8", file.P8)
		if !ok {
			return nil
		}
		credential, err := NewAPNsKey(p8, file.KeyID, file.TeamID, file.Topic)
		d.check("apns", err)
		return credential
	}
	certificate, path, ok := d.certificate(file)
	if !ok {
		return nil
	}
	credential, err := NewAPNsCertificate(certificate, file.Topic, now)
	d.check("apns.certificate", inFile(path, err))
	return credential
}

// inFile puts the path of a file before each of its faults.
func inFile(path string, err error) error {
	var faults []error
	for _, fault := range joined(err) {
		faults = append(faults, fmt.Errorf("%s: %w", path, fault))
	}
	return errors.Join(faults...)
}

// certificate reads a .p12 with its password, one PEM file with both parts, or a certificate and a key in two. The path is
// the certificate's.
func (d *document) certificate(file *apnsFile) (_ tls.Certificate, path string, _ bool) {
	data, ok := d.read("apns.certificate", file.Certificate)
	key, password := data, File{}
	if file.Key != "" {
		var read bool
		key, read = d.read("apns.key", file.Key)
		ok = ok && read
	}
	if file.PasswordFile != "" {
		var read bool
		password, read = d.read("apns.password_file", file.PasswordFile)
		ok = ok && read
	}
	if !ok {
		return tls.Certificate{}, "", false
	}
	var certificate tls.Certificate
	var err error
	switch isPKCS12 := strings.EqualFold(filepath.Ext(file.Certificate), ".p12"); {
	case isPKCS12 && file.Key != "":
		err = errors.New("a .p12 holds its key: leave key out")
	case isPKCS12:
		certificate, err = ParsePKCS12(data.Data, strings.TrimRight(string(password.Data), "\r\n"))
		err = inFile(data.Path, err)
	case file.PasswordFile != "":
		err = errors.New("password_file is for .p12 files only")
	default:
		certificate, err = ParsePEM(data, key)
	}
	d.check("apns.certificate", err)
	return certificate, data.Path, err == nil
}

// fcm loads the credential that an fcm section names; nil with faults.
func (d *document) fcm(file *fcmFile) *FCMCredential {
	account, ok := d.read("fcm.service_account", file.ServiceAccount)
	if !ok {
		return nil
	}
	credential, err := NewFCMCredential(account.Data)
	if err != nil {
		d.check("fcm.service_account", inFile(account.Path, err))
		return nil
	}
	credential.File = account.Path
	return credential
}

// read reads a file that the value of a key names, relative to the tenant file. A secret that others could read is
// refused; a certificate alone is no secret.
func (d *document) read(key, name string) (File, bool) {
	path, err := pathOf(d.path, name)
	file := File{Path: path}
	if err == nil {
		file.Data, err = d.readSecret(path)
	}
	d.check(key, err)
	return file, err == nil
}

// pathOf is the path of a file that a tenant file names.
func pathOf(tenantFile, name string) (string, error) {
	if name == "" {
		return "", errors.New("is missing")
	}
	if strings.Contains(name, "-----BEGIN") || strings.ContainsAny(name, "\r\n{") {
		return "", errors.New("give the path of a file, not what is in it: credentials are kept out of YAML")
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(tenantFile), name)
	}
	return name, nil
}

func (d *document) readSecret(path string) ([]byte, error) {
	file, err := d.open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w; put it there or name another, relative names begin at this YAML file", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; the user that pushd runs as must be able to read it", err)
	case err != nil:
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxCredentialFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxCredentialFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxCredentialFile)
	}
	if onlyCertificates(data) {
		return data, nil
	}
	return data, CheckPrivate(path, info)
}
