package providers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

const topic = "com.apple.mgmt.External.0a7b0cde-1111-4222-8333-444455556666"

// folder is a directory of tenant files in the making.
type folder struct {
	t   testing.TB
	dir string
}

func newFolder(t testing.TB) folder { return folder{t, t.TempDir()} }

func (f folder) write(name string, mode os.FileMode, data []byte) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, data, mode); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) yaml(text string) {
	f.t.Helper()
	f.write("acme.yaml", 0o644, []byte(text))
}

// load wants no fault and exactly one tenant.
func (f folder) load() Tenant {
	f.t.Helper()
	tenants, faults := LoadTenants(f.dir)
	if len(faults) > 0 || len(tenants) != 1 {
		f.t.Fatalf("%d tenants, faults: %v", len(tenants), faults)
	}
	return tenants[0]
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("PRIVATE KEY", der)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// newCertificate is a push certificate with uid in its subject, unless that is empty.
func newCertificate(t testing.TB, key crypto.Signer, uid string, from, until time.Time) *x509.Certificate {
	t.Helper()
	subject := pkix.Name{CommonName: "APSP:acme"}
	if uid != "" {
		subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: uidAttribute, Value: uid}}
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func validCertificate(t testing.TB, key crypto.Signer, uid string) *x509.Certificate {
	t.Helper()
	return newCertificate(t, key, uid, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
}

func serviceAccount(t testing.TB, change func(map[string]string)) []byte {
	t.Helper()
	fields := map[string]string{
		"type":         "service_account",
		"project_id":   "acme-mdm",
		"client_email": "push@acme-mdm.iam.gserviceaccount.com",
		"private_key":  string(pkcs8(t, rsaKey())),
		"token_uri":    "https://oauth2.googleapis.com/token",
	}
	if change != nil {
		change(fields)
	}
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLoadTenantsReadsEveryFormOfACertificate(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	leaf := validCertificate(t, key, topic)
	p12, err := pkcs12.Modern.Encode(key, leaf, []*x509.Certificate{validCertificate(t, newKey(t), "")}, "pass word")
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM := pemOf("CERTIFICATE", leaf.Raw), pkcs8(t, key)
	for name, row := range map[string]struct {
		yaml  string
		chain int
	}{
		"p12":           {"{certificate: acme.p12, password_file: acme.pass}", 2},
		"one PEM":       {"{certificate: both.pem}", 1},
		"two PEM":       {"{certificate: cert.pem, key: acme.key}", 1},
		"topic given":   {"{certificate: both.pem, topic: " + topic + "}", 1},
		"absolute path": {"", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			f.write("acme.p12", 0o600, p12)
			f.write("acme.pass", 0o400, []byte("pass word\n"))
			f.write("both.pem", 0o600, append(append([]byte(nil), certPEM...), keyPEM...))
			f.write("cert.pem", 0o644, certPEM)
			f.write("acme.key", 0o600, keyPEM)
			if row.yaml == "" {
				row.yaml = "{certificate: " + filepath.Join(f.dir, "both.pem") + "}"
			}
			f.yaml("tenant: acme\napns: " + row.yaml + "\nrate: 500\nin_flight: 250\n")
			tenant := f.load()
			if tenant.Name != "acme" || tenant.Rate != 500 || tenant.InFlight != 250 || tenant.FCM != nil {
				t.Errorf("tenant is %+v", tenant)
			}
			if tenant.APNs.Topic != topic || tenant.APNs.Token != nil || !tenant.APNs.Expiry().Equal(leaf.NotAfter) {
				t.Errorf("credential is %+v", tenant.APNs)
			}
			certificate := tenant.APNs.Certificate.Reveal()
			if !certificate.Leaf.Equal(leaf) || len(certificate.Certificate) != row.chain || !key.Equal(certificate.PrivateKey) {
				t.Errorf("certificate has a chain of %d, subject %v", len(certificate.Certificate), certificate.Leaf.Subject)
			}
		})
	}
}

func TestLoadTenantsReadsKeysAndServiceAccounts(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	key := newKey(t)
	f.write("AuthKey_ABCDEFGHIJ.p8", 0o600, pkcs8(t, key))
	f.write("acme.json", 0o600, serviceAccount(t, nil))
	f.yaml(`
tenant: acme
apns:
  p8: AuthKey_ABCDEFGHIJ.p8
  key_id: ABCDEFGHIJ
  team_id: TEAM012345
  topic: com.example.agent
fcm:
  service_account: acme.json
`)
	tenant := f.load()
	apns, fcm := tenant.APNs, tenant.FCM
	if apns.Topic != "com.example.agent" || apns.Token.KeyID != "ABCDEFGHIJ" || apns.Token.TeamID != "TEAM012345" ||
		!apns.Token.Key.Reveal().Equal(key) || apns.Certificate.Reveal() != nil || !apns.Expiry().IsZero() {
		t.Errorf("APNs credential is %+v", apns)
	}
	if fcm.ProjectID != "acme-mdm" || fcm.TokenURI.Host != "oauth2.googleapis.com" || !fcm.Expiry().IsZero() {
		t.Errorf("FCM credential is %+v", fcm)
	}
	if tenant.Rate != 0 || tenant.InFlight != 0 {
		t.Errorf("rate %g and in_flight %d are not left to the configuration", tenant.Rate, tenant.InFlight)
	}
}

func TestLoadTenantsRefuses(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	keyPEM := pkcs8(t, key)
	leaf := validCertificate(t, key, topic)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p12, err := pkcs12.Modern.Encode(key, leaf, nil, "right")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	cert := pemOf("CERTIFICATE", leaf.Raw)
	files := map[string][]byte{
		"cert.pem":    cert,
		"acme.key":    keyPEM,
		"other.key":   pkcs8(t, newKey(t)),
		"old.pem":     pemOf("CERTIFICATE", newCertificate(t, key, topic, now.Add(-48*time.Hour), now.Add(-time.Hour)).Raw),
		"early.pem":   pemOf("CERTIFICATE", newCertificate(t, key, topic, now.Add(time.Hour), now.Add(48*time.Hour)).Raw),
		"no-uid.pem":  pemOf("CERTIFICATE", validCertificate(t, key, "").Raw),
		"acme.p12":    p12,
		"acme.pass":   []byte("wrong"),
		"p384.p8":     pkcs8(t, p384),
		"rsa.p8":      pkcs8(t, rsaKey()),
		"good.p8":     keyPEM,
		"garbage":     []byte("garbage"),
		"torn.key":    pemOf("PRIVATE KEY", []byte("x")),
		"torn.pem":    pemOf("CERTIFICATE", leaf.Raw[:len(leaf.Raw)/2]),
		"torn.json":   serviceAccount(t, nil)[:100],
		"sealed.key":  pemOf("ENCRYPTED PRIVATE KEY", []byte("x")),
		"type.json":   serviceAccount(t, func(m map[string]string) { m["type"] = "authorized_user" }),
		"part.json":   serviceAccount(t, func(m map[string]string) { delete(m, "project_id"); delete(m, "client_email") }),
		"http.json":   serviceAccount(t, func(m map[string]string) { m["token_uri"] = "http://oauth2.googleapis.com/token" }),
		"ec.json":     serviceAccount(t, func(m map[string]string) { m["private_key"] = string(keyPEM) }),
		"path.json":   serviceAccount(t, func(m map[string]string) { m["project_id"] = "a/../b" }),
		"nokey.json":  serviceAccount(t, func(m map[string]string) { m["private_key"] = canary }),
		"nested.json": []byte(`["` + canary + `"]`),
	}
	const head = "tenant: acme\n"
	for _, row := range []struct {
		yaml string
		want []string // each in a fault of its own or of another; with the line where it stands
	}{
		{"", []string{":1: the file is empty"}},
		{"- a\n", []string{":1: keys and values are expected here"}},
		{"tenant: [\n", []string{":1: this is not YAML"}},
		{head, []string{"neither apns nor fcm"}},
		{head + "apns:\n", []string{":2: apns: keys and values are expected here"}},
		{"apns: {certificate: cert.pem, key: acme.key}\n", []string{":1: tenant: is missing"}},
		{"tenant: a/b\nfcm: {service_account: http.json}\n", []string{`:1: tenant: "a/b" holds a slash`, ":2: fcm.service_account: ", "/http.json: token_uri is not an https address"}},
		{"tenant: " + strings.Repeat("x", 65) + "\n", []string{"longer than 64 bytes"}},
		{head + "tenant: twice\n", []string{`:2: tenant: stands here a second time, line 1 has it`}},
		{head + "---\ntenant: b\n", []string{"a second document follows"}},
		{head + "apns:\n  certifcate: cert.pem\n  key: acme.key\n", []string{`:3: apns.certifcate: there is no such key (did you mean "certificate"?)`, ":2: apns.certificate: is missing"}},
		{head + "inflight: 3\nfcm: {service_account: type.json}\n", []string{`:2: inflight: there is no such key (did you mean "in_flight"?)`, `type is "authorized_user"`}},
		{head + "zzz: 3\n", []string{":2: zzz: there is no such key]"}},
		{head + "rate: fast\nfcm: {}\n", []string{":2: rate: is not a number; write it in digits, such as 500 or 0.5 "}},
		{head + "fcm: {}\nin_flight: 2.5\nweight: [1]\n", []string{":3: in_flight: is not a whole number", ":4: weight: is not a whole number"}},
		{head + "fcm: {service_account: {type: x}}\n", []string{":2: fcm.service_account: is not one plain value"}},
		{head + "rate: .inf\n", []string{":2: rate: +Inf"}},
		{head + "weight: 0\n", []string{":2: weight: 0 is not from 1 to 100"}},
		{head + "weight: 101\n", []string{":2: weight: 101 is not from 1 to 100"}},
		{head + "rate: 0\nin_flight: 0\n", []string{":2: rate: 0 pushes per second is not a number above 0", ":3: in_flight: 0 is below 1; leave it out"}},
		{head + "rate: .nan\n", []string{":2: rate: NaN"}},
		{head + "apns: {certificate: missing.pem}\n", []string{":2: apns.certificate: open ", "missing.pem: no such file or directory; put it there or name another"}},
		{head + "apns: {certificate: .}\n", []string{"is not a regular file"}},
		{head + "apns: {certificate: cert.pem, key: other.key}\n", []string{":2: apns.certificate: ", "/other.key: its key is not that of the certificate in ", "/cert.pem; name the key that the certificate was requested with"}},
		{head + "apns: {certificate: cert.pem}\n", []string{"apns.certificate: ", "/cert.pem: no private key is there: name its file with key"}},
		{head + "apns: {certificate: garbage}\n", []string{":2: apns.certificate: ", "/garbage: there is nothing in PEM form, which begins with -----BEGIN; write it anew"}},
		{head + "apns: {certificate: cert.pem, key: garbage}\n", []string{"/garbage: there is nothing in PEM form"}},
		{head + "apns: {certificate: acme.key}\n", []string{"/acme.key: no certificate is there; name its file with certificate"}},
		{head + "apns: {certificate: cert.pem, key: torn.key}\n", []string{"/torn.key: the key cannot be read; write it anew"}},
		{head + "apns: {certificate: torn.pem, key: acme.key}\n", []string{"/torn.pem: the certificate cannot be read (x509: malformed certificate); write it anew"}},
		{head + "fcm: {service_account: torn.json}\n", []string{"/torn.json: this is not the JSON file of a service account, or not all of it"}},
		{head + "apns: {certificate: cert.pem, key: sealed.key}\n", []string{"the key is encrypted"}},
		{head + "apns: {certificate: cert.pem, key: acme.key, password_file: acme.pass}\n", []string{"password_file is for .p12 files only"}},
		{head + "apns: {certificate: old.pem, key: acme.key}\n", []string{"/old.pem: the certificate expired at "}},
		{head + "apns: {certificate: early.pem, key: acme.key}\n", []string{"the certificate is not valid before "}},
		{head + "apns: {certificate: no-uid.pem, key: acme.key}\n", []string{"has no UID attribute"}},
		{head + "apns: {certificate: cert.pem, key: acme.key, topic: com.other}\n", []string{`the topic is "com.other", but the certificate's UID is "` + topic}},
		{head + "apns: {certificate: acme.p12, password_file: acme.pass}\n", []string{"/acme.p12: the password is wrong"}},
		{head + "apns: {certificate: acme.p12, key: acme.key}\n", []string{"leave key out"}},
		{head + "apns: {certificate: cert.pem, p8: good.p8}\n", []string{"exclude each other"}},
		{head + "apns: {p8: good.p8}\n", []string{"topic is missing", "key_id is not 10", "team_id is not 10"}},
		{head + "apns: {p8: p384.p8, key_id: ABCDEFGHIJ, team_id: ABCDEFGHIJ, topic: a}\n", []string{"not EC P-256"}},
		{head + "apns: {p8: rsa.p8, key_id: ABCDEFGHIJ, team_id: ABCDEFGHIJ, topic: a}\n", []string{"not EC P-256"}},
		{head + "apns: {p8: garbage, key_id: abcdefghij, team_id: ABCDEFGHIJ, topic: a}\n", []string{"/garbage: there is nothing in PEM form; take the AuthKey", "key_id is not 10"}},
		{head + "apns:\n  certificate: |\n    -----BEGIN CERTIFICATE-----\n    " + canary + "\n", []string{":3: apns.certificate: give the path of a file"}},
		{head + "fcm: {service_account: '{\"private_key\": \"" + canary + "\"}'}\n", []string{"give the path of a file"}},
		{head + "fcm: {}\n", []string{"fcm.service_account: is missing"}},
		{head + "fcm: {service_account: part.json}\n", []string{"/part.json: project_id is missing", "client_email is missing"}},
		{head + "fcm: {service_account: ec.json}\n", []string{"private_key is no PEM block with an RSA key"}},
		{head + "fcm: {service_account: nokey.json}\n", []string{"private_key is no PEM block with an RSA key"}},
		{head + "fcm: {service_account: nested.json}\n", []string{"/nested.json: this is not the JSON file of a service account, or not all of it; have Google"}},
		{head + "fcm: {service_account: path.json}\n", []string{`project_id "a/../b"`}},
	} {
		t.Run(strings.TrimPrefix(row.yaml, head), func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			for name, data := range files {
				f.write(name, 0o600, data)
			}
			f.yaml(row.yaml)
			tenants, faults := LoadTenants(f.dir)
			for _, tenant := range tenants {
				if tenant.Name != "acme" || tenant.APNs != nil || tenant.FCM != nil || len(tenant.Unusable) == 0 || tenant.Rate != 0 {
					t.Errorf("loaded %+v", tenant)
				}
			}
			all := fmt.Sprint(faults)
			for _, want := range row.want {
				if !strings.Contains(all, want) {
					t.Errorf("no fault says %q, but:\n%s", want, all)
				}
			}
			if !strings.Contains(all, filepath.Join(f.dir, "acme.yaml")) {
				t.Errorf("the file is not named in:\n%s", all)
			}
			if strings.Contains(all, canary) {
				t.Errorf("a secret is in the fault:\n%s", all)
			}
		})
	}
}

func TestLoadTenantsRefusesSecretsThatOthersCanRead(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	certificate := pemOf("CERTIFICATE", validCertificate(t, key, topic).Raw)
	for _, mode := range []os.FileMode{0o620, 0o604, 0o644, 0o660, 0o601} {
		f := newFolder(t)
		f.write("cert.pem", 0o644, certificate)
		f.write("acme.key", mode, pkcs8(t, key))
		f.write("acme.json", mode, serviceAccount(t, nil))
		f.yaml("tenant: acme\napns: {certificate: cert.pem, key: acme.key}\nfcm: {service_account: acme.json}\n")
		_, faults := LoadTenants(f.dir)
		want := fmt.Sprintf("can be read by others (mode %04o): chmod 600 /", mode)
		if len(faults) != 2 || !strings.Contains(faults[0].Error(), want) || !strings.Contains(faults[1].Error(), want) {
			t.Errorf("mode %04o: faults are %v", mode, faults)
		}
	}
}

func TestLoadTenantsKeepsTheWholeOnesAndNamesAllFaults(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.write("acme.json", 0o600, serviceAccount(t, nil))
	for _, name := range []string{"zeta", "beta", "alpha"} {
		f.write(name+".yaml", 0o644, []byte("tenant: "+name+"\nfcm: {service_account: acme.json}\n"))
	}
	f.write("beta-again.yaml", 0o644, []byte("tenant: beta\nfcm: {service_account: acme.json}\n"))
	f.write("broken.yaml", 0o644, []byte("tenant: broken\n"))
	f.write("short.yml", 0o644, []byte("tenant: short\n"))
	f.write("README", 0o644, []byte("not a tenant"))
	tenants, faults := LoadTenants(f.dir)
	names := make([]string, 0, len(tenants))
	for _, tenant := range tenants {
		names = append(names, tenant.Name)
	}
	if fmt.Sprint(names) != "[alpha beta broken zeta]" || fmt.Sprint(tenants[2].Unusable) != "[apns fcm]" {
		t.Errorf("tenants are %v", names)
	}
	all := fmt.Sprint(faults)
	if len(faults) != 3 || !strings.Contains(all, `beta.yaml:1: tenant: "beta" is in `) || !strings.Contains(all, "neither apns nor fcm") ||
		!strings.Contains(all, "only files that end in .yaml are read") {
		t.Errorf("%d faults: %s", len(faults), all)
	}
	if _, faults := LoadTenants(filepath.Join(f.dir, "missing")); len(faults) != 1 {
		t.Errorf("a missing directory gives %v", faults)
	}
}

func TestCredentialIDChangesWithTheCredentialAndOnlyThen(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	f := newFolder(t)
	id := func(leaf *x509.Certificate) string {
		f.write("cert.pem", 0o644, pemOf("CERTIFICATE", leaf.Raw))
		f.write("acme.key", 0o600, pkcs8(t, key))
		f.yaml("tenant: acme\napns: {certificate: cert.pem, key: acme.key}\n")
		return f.load().APNs.ID
	}
	first, renewed := validCertificate(t, key, topic), validCertificate(t, key, topic)
	if again := id(first); again != id(first) {
		t.Error("the same certificate has two IDs")
	}
	if id(first) == id(renewed) {
		t.Error("a renewed certificate has the ID of the old one")
	}
}

func TestTenantsAndCredentialsPrintNoSecret(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	key := newKey(t)
	f.write("cert.pem", 0o644, pemOf("CERTIFICATE", validCertificate(t, key, topic).Raw))
	f.write("acme.key", 0o600, pkcs8(t, key))
	f.write("acme.json", 0o600, serviceAccount(t, nil))
	f.yaml("tenant: acme\napns: {certificate: cert.pem, key: acme.key}\nfcm: {service_account: acme.json}\n")
	tenant := f.load()
	asJSON, err := json.Marshal(tenant)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprintf("%v %+v %#v %+v %s", tenant, tenant, *tenant.APNs, *tenant.FCM, asJSON)
	for _, secret := range []string{"PRIVATE KEY", fmt.Sprintf("%x", scalar), fmt.Sprint(new(big.Int).SetBytes(scalar)), fmt.Sprint(scalar)} {
		if strings.Contains(out, secret) {
			t.Errorf("a key is shown in %s", out)
		}
	}
}
