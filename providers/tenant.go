package providers

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Tenant is a customer: its credentials, and how much it may send with them.
type Tenant struct {
	Name     string
	APNs     *APNsCredential // nil where the tenant has no Apple devices
	FCM      *FCMCredential  // nil where it has no Android devices
	Rate     float64         // pushes per second of each of its credentials; 0 means the configuration's
	InFlight int             // pushes under way of each of its credentials; 0 means the configuration's
}

// maxTenantName is what an event can name, in bytes.
const maxTenantName = 64

// maxCredentialFile bounds what is read of a file named in a tenant file, in bytes.
const maxCredentialFile = 1 << 20

// tenantFile is the YAML of one tenant.
type tenantFile struct {
	Tenant   string    `yaml:"tenant"`
	APNs     *apnsFile `yaml:"apns"`
	FCM      *fcmFile  `yaml:"fcm"`
	Rate     *float64  `yaml:"rate"`
	InFlight *int      `yaml:"in_flight"`
}

type apnsFile struct {
	Certificate  string `yaml:"certificate"`
	Key          string `yaml:"key"`
	PasswordFile string `yaml:"password_file"`
	P8           string `yaml:"p8"`
	KeyID        string `yaml:"key_id"`
	TeamID       string `yaml:"team_id"`
	Topic        string `yaml:"topic"`
}

type fcmFile struct {
	ServiceAccount string `yaml:"service_account"`
}

// LoadTenants reads the tenants of a directory, one from each *.yaml file, with their credentials. It returns the
// tenants that are whole, sorted by name, and every fault of every file, each with file and line. A tenant with a fault
// is left out, so that a reload can keep what it had.
func LoadTenants(dir string) ([]Tenant, []error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, []error{fmt.Errorf("read the tenants: %w", err)}
	}
	var tenants []Tenant
	var faults []error
	files := make(map[string]string) // by tenant name
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch filepath.Ext(path) {
		case ".yml":
			faults = append(faults, fmt.Errorf("%s: only files that end in .yaml are read; rename it", path))
		case ".yaml":
			tenant, found := loadTenant(path, time.Now())
			if first, taken := files[tenant.Name]; taken && tenant.Name != "" {
				found = append(found, fmt.Errorf("%s: tenant %q is in %s already", path, tenant.Name, first))
			} else {
				files[tenant.Name] = path
			}
			if faults = append(faults, found...); len(found) == 0 {
				tenants = append(tenants, tenant)
			}
		}
	}
	slices.SortFunc(tenants, func(a, b Tenant) int { return strings.Compare(a.Name, b.Name) })
	return tenants, faults
}

// loadTenant reads one file. With faults, the tenant has at most its name.
func loadTenant(path string, now time.Time) (Tenant, []error) {
	doc, file := readTenantFile(path)
	if file == nil {
		return Tenant{}, doc.faults
	}
	tenant := Tenant{Name: file.Tenant}
	doc.check(tenantName(file.Tenant), "tenant")
	if file.APNs == nil && file.FCM == nil {
		doc.check(errors.New("neither apns nor fcm is given: the tenant could send nothing"))
	}
	if file.APNs != nil {
		tenant.APNs = doc.apns(file.APNs, now)
	}
	if file.FCM != nil {
		tenant.FCM = doc.fcm(file.FCM)
	}
	if file.Rate != nil {
		if tenant.Rate = *file.Rate; !(tenant.Rate > 0) {
			doc.check(fmt.Errorf("rate: %g pushes per second is not above 0", tenant.Rate), "rate")
		}
	}
	if file.InFlight != nil {
		if tenant.InFlight = *file.InFlight; tenant.InFlight < 1 {
			doc.check(fmt.Errorf("in_flight: %d is below 1", tenant.InFlight), "in_flight")
		}
	}
	return tenant, doc.faults
}

// tenantName checks what becomes the part of a record's key before the first slash.
func tenantName(name string) error {
	switch {
	case name == "":
		return errors.New("tenant is missing")
	case len(name) > maxTenantName:
		return fmt.Errorf("tenant: the name is longer than %d bytes", maxTenantName)
	case strings.Contains(name, "/") || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("tenant: %q holds a slash or a character that cannot be printed", name)
	}
	return nil
}

// apns loads the credential that an apns section names; nil with faults.
func (d *document) apns(file *apnsFile, now time.Time) *APNsCredential {
	const section = "apns"
	token := file.P8 != "" || file.KeyID != "" || file.TeamID != ""
	switch {
	case token && (file.Certificate != "" || file.Key != "" || file.PasswordFile != ""):
		d.check(errors.New("apns: a certificate and a p8 key exclude each other; MDM needs the certificate"), section)
		return nil
	case token:
		p8, ok := d.read(file.P8, section, "p8")
		if !ok {
			return nil
		}
		credential, err := NewAPNsKey(p8, file.KeyID, file.TeamID, file.Topic)
		d.check(wrap("apns", err), section)
		return credential
	}
	certificate, ok := d.certificate(file)
	if !ok {
		return nil
	}
	credential, err := NewAPNsCertificate(certificate, file.Topic, now)
	d.check(wrap("apns.certificate", err), section, "certificate")
	return credential
}

// certificate reads a .p12 with its password, one PEM file with both parts, or a certificate and a key in two.
func (d *document) certificate(file *apnsFile) (tls.Certificate, bool) {
	data, ok := d.read(file.Certificate, "apns", "certificate")
	var key, password []byte
	if file.Key != "" {
		var read bool
		key, read = d.read(file.Key, "apns", "key")
		ok = ok && read
	}
	if file.PasswordFile != "" {
		var read bool
		password, read = d.read(file.PasswordFile, "apns", "password_file")
		ok = ok && read
	}
	if !ok {
		return tls.Certificate{}, false
	}
	var certificate tls.Certificate
	var err error
	switch isPKCS12 := strings.EqualFold(filepath.Ext(file.Certificate), ".p12"); {
	case isPKCS12 && file.Key != "":
		err = errors.New("a .p12 holds its key: leave key out")
	case isPKCS12:
		certificate, err = ParsePKCS12(data, strings.TrimRight(string(password), "\r\n"))
	case file.PasswordFile != "":
		err = errors.New("password_file is for .p12 files only")
	case file.Key != "":
		certificate, err = ParsePEM(data, key)
	default:
		certificate, err = ParsePEM(data, data)
	}
	d.check(wrap("apns.certificate", err), "apns", "certificate")
	return certificate, err == nil
}

// fcm loads the credential that an fcm section names; nil with faults.
func (d *document) fcm(file *fcmFile) *FCMCredential {
	account, ok := d.read(file.ServiceAccount, "fcm", "service_account")
	if !ok {
		return nil
	}
	credential, err := NewFCMCredential(account)
	d.check(wrap("fcm.service_account", err), "fcm", "service_account")
	return credential
}

// read reads a file that the value of a key names, relative to the tenant file. A secret that others could read is
// refused; a certificate alone is no secret.
func (d *document) read(name string, key ...string) ([]byte, bool) {
	data, err := readSecret(d.path, name)
	d.check(wrap(strings.Join(key, "."), err), key...)
	return data, err == nil
}

func readSecret(tenantFile, name string) ([]byte, error) {
	if name == "" {
		return nil, errors.New("is missing")
	}
	if strings.Contains(name, "-----BEGIN") || strings.ContainsAny(name, "\r\n{") {
		return nil, errors.New("give the path of a file, not what is in it: credentials are kept out of YAML")
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(tenantFile), name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxCredentialFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxCredentialFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxCredentialFile)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && !onlyCertificates(data) {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): chmod 600 it", name, mode)
	}
	return data, nil
}
