package providers

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// settle makes all files of a folder an hour old, as if nothing had changed for long.
func (f folder) settle() {
	f.t.Helper()
	err := filepath.WalkDir(f.dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			err = os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour))
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// one reads a directory that has one tenant.
func (f folder) one(d *TenantDir) (Tenant, []Fault) {
	f.t.Helper()
	tenants, faults := d.Read()
	if len(tenants) != 1 {
		f.t.Fatalf("%d tenants, faults: %v", len(tenants), faults)
	}
	return tenants[0], faults
}

func TestATenantWithOneFaultyCredentialKeepsTheOther(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	expired := newCertificate(t, key, topic, time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	for _, row := range []struct {
		name, yaml, unusable string
		apns, fcm            bool
	}{
		{"apns expired", "apns: {certificate: old.pem, key: acme.key}\nfcm: {service_account: acme.json}\n", "[apns]", false, true},
		{"apns missing", "apns: {certificate: missing.pem}\nfcm: {service_account: acme.json}\n", "[apns]", false, true},
		{"apns with an unknown key", "apns: {certificate: cert.pem, key: acme.key, sandbox: 1}\nfcm: {service_account: acme.json}\n", "[apns]", false, true},
		{"fcm open to others", "apns: {certificate: cert.pem, key: acme.key}\nfcm: {service_account: open.json}\n", "[fcm]", true, false},
		{"both", "apns: {certificate: old.pem, key: acme.key}\nfcm: {service_account: open.json}\n", "[apns fcm]", false, false},
		{"alone", "fcm: {service_account: open.json}\n", "[fcm]", false, false},
		{"a limit", "apns: {certificate: cert.pem, key: acme.key}\nfcm: {service_account: acme.json}\nrate: 0\n", "[apns fcm]", false, false},
		{"an unknown section", "apsn: {certificate: cert.pem, key: acme.key}\nfcm: {service_account: acme.json}\n", "[apns fcm]", false, false},
		{"a section of another kind", "apns: {certificate: cert.pem, key: acme.key}\nfcm: acme.json\n", "[fcm]", true, false},
		{"nothing", "apns: {certificate: cert.pem, key: acme.key}\nfcm: {service_account: acme.json}\nweight: 100\n", "[]", true, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			f.write("cert.pem", 0o644, pemOf("CERTIFICATE", validCertificate(t, key, topic).Raw))
			f.write("old.pem", 0o644, pemOf("CERTIFICATE", expired.Raw))
			f.write("acme.key", 0o600, pkcs8(t, key))
			f.write("acme.json", 0o600, serviceAccount(t, nil))
			f.write("open.json", 0o644, serviceAccount(t, nil))
			f.yaml("tenant: acme\n" + row.yaml)
			tenant, faults := f.one(NewTenantDir(f.dir))
			if fmt.Sprint(tenant.Unusable) != row.unusable || (tenant.APNs != nil) != row.apns || (tenant.FCM != nil) != row.fcm {
				t.Errorf("tenant is %+v", tenant)
			}
			if len(faults) == 0 && row.unusable != "[]" {
				t.Error("no fault is told")
			}
			for _, fault := range faults {
				if fault.Tenant != "acme" || fault.File != filepath.Join(f.dir, "acme.yaml") || fault.Line < 1 {
					t.Errorf("fault is %+v", fault)
				}
			}
		})
	}
}

func TestTenantDirReadsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.write("one.json", 0o600, serviceAccount(t, nil))
	f.write("two.json", 0o600, serviceAccount(t, nil))
	f.write("one.yaml", 0o644, []byte("tenant: one\nfcm: {service_account: one.json}\n"))
	f.write("two.yaml", 0o644, []byte("tenant: two\nfcm: {service_account: two.json}\n"))
	f.settle()
	dir := NewTenantDir(f.dir)
	first, _ := dir.Read()
	f.write("two.json", 0o600, serviceAccount(t, func(m map[string]string) { m["project_id"] = "another" }))
	second, faults := dir.Read()
	if len(faults) > 0 || second[0].FCM != first[0].FCM {
		t.Errorf("what did not change was read again, or has faults: %v", faults)
	}
	if second[1].FCM.ProjectID != "another" {
		t.Error("what changed was not read")
	}
}

func TestTenantDirSeesEveryWayInWhichAFileIsReplaced(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	old, renewed := validCertificate(t, key, topic), validCertificate(t, key, topic)
	pem := func(leaf *x509.Certificate) []byte {
		return append(pemOf("CERTIFICATE", leaf.Raw), pkcs8(t, key)...)
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, row := range map[string]struct{ arrange, replace func(t *testing.T, f folder) }{
		"in place": {
			func(t *testing.T, f folder) { f.write("acme.pem", 0o600, pem(old)) },
			func(t *testing.T, f folder) { f.write("acme.pem", 0o600, pem(renewed)) },
		},
		"in place, of the same size and with the old time": {
			func(t *testing.T, f folder) { f.write("acme.pem", 0o600, pem(old)) },
			func(t *testing.T, f folder) {
				// Another file then: the same one with the same size and time cannot be told from itself.
				f.write("new.pem", 0o600, pem(renewed))
				f.settle()
				must(t, os.Rename(filepath.Join(f.dir, "new.pem"), filepath.Join(f.dir, "acme.pem")))
			},
		},
		"by rename": {
			func(t *testing.T, f folder) { f.write("acme.pem", 0o600, pem(old)) },
			func(t *testing.T, f folder) {
				f.write("new.pem", 0o600, pem(renewed))
				must(t, os.Rename(filepath.Join(f.dir, "new.pem"), filepath.Join(f.dir, "acme.pem")))
			},
		},
		"by the swap of a link to its directory": {
			func(t *testing.T, f folder) {
				for name, leaf := range map[string]*x509.Certificate{"..1": old, "..2": renewed} {
					must(t, os.Mkdir(filepath.Join(f.dir, name), 0o700))
					f.write(name+"/acme.pem", 0o600, pem(leaf))
				}
				must(t, os.Symlink("..1", filepath.Join(f.dir, "..data")))
				must(t, os.Symlink("..data/acme.pem", filepath.Join(f.dir, "acme.pem")))
			},
			func(t *testing.T, f folder) {
				must(t, os.Symlink("..2", filepath.Join(f.dir, "..new")))
				must(t, os.Rename(filepath.Join(f.dir, "..new"), filepath.Join(f.dir, "..data")))
			},
		},
		"after it was missing": {
			func(t *testing.T, f folder) {},
			func(t *testing.T, f folder) { f.write("acme.pem", 0o600, pem(renewed)) },
		},
		"after others could read it": {
			func(t *testing.T, f folder) { f.write("acme.pem", 0o644, pem(renewed)) },
			func(t *testing.T, f folder) { must(t, os.Chmod(filepath.Join(f.dir, "acme.pem"), 0o600)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			row.arrange(t, f)
			f.yaml("tenant: acme\napns: {certificate: acme.pem}\n")
			f.settle()
			dir := NewTenantDir(f.dir)
			if before, _ := f.one(dir); before.APNs != nil && !before.APNs.Certificate.Reveal().Leaf.Equal(old) {
				t.Fatal("the old certificate was not read")
			}
			row.replace(t, f)
			if after, faults := f.one(dir); after.APNs == nil || !after.APNs.Certificate.Reveal().Leaf.Equal(renewed) {
				t.Errorf("the new certificate was not read: %v", faults)
			}
		})
	}
}

func TestAFileThatCannotBeReadAnyMoreStandsForTheTenantThatItNamed(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.write("acme.json", 0o600, serviceAccount(t, nil))
	dir := NewTenantDir(f.dir)
	for _, broken := range []string{"tenant: [\n", "", "tenant: a/b\n", "tenant: acme\ntenant: b\n"} {
		f.yaml("tenant: acme\nfcm: {service_account: acme.json}\n")
		if tenant, _ := f.one(dir); tenant.FCM == nil {
			t.Fatal("the tenant has no credential")
		}
		for range 2 { // the second time, what was read before had no name of its own
			f.yaml(broken)
			tenant, faults := f.one(dir)
			if tenant.Name != "acme" || tenant.FCM != nil || len(tenant.Unusable) != 2 || len(faults) == 0 || faults[0].Tenant != "acme" {
				t.Errorf("%q: tenant is %+v, faults %v", broken, tenant, faults)
			}
		}
	}
	if err := os.Remove(filepath.Join(f.dir, "acme.yaml")); err != nil {
		t.Fatal(err)
	}
	if tenants, faults := dir.Read(); len(tenants)+len(faults) > 0 {
		t.Errorf("without its file there are %v, %v", tenants, faults)
	}
	f.yaml("tenant: [\n")
	if tenants, faults := dir.Read(); len(tenants) > 0 || len(faults) != 1 || faults[0].Tenant != "" {
		t.Errorf("a file that never gave a name gives %v, %v", tenants, faults)
	}
}

func TestFoldersAreWhereAChangeShows(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	root, err := filepath.EvalSymlinks(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"tenants", "creds", "real", "real/v1"} {
		if err := os.Mkdir(filepath.Join(root, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"real/current": "v1", "creds/acme.json": "../real/current/acme.json", "circle": "circle"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	f.write("real/v1/acme.json", 0o600, serviceAccount(t, nil))
	f.write("tenants/acme.yaml", 0o644, []byte("tenant: acme\nfcm: {service_account: ../creds/acme.json}\napns: {certificate: ../circle}\n"))
	dir := NewTenantDir(filepath.Join(root, "tenants"))
	dir.Read()
	var want []string
	for _, sub := range []string{"", "creds", "real", "real/v1", "tenants"} {
		want = append(want, filepath.Join(root, sub))
	}
	if got := dir.Folders(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("folders are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// BenchmarkLoadTenants loads 10,000 tenants, each with a certificate and a key of its own in the form that its name says.
func BenchmarkLoadTenants(b *testing.B) {
	const tenants = 10_000
	ecKey, rsa := newKey(b), rsaKey()
	pem := func(key crypto.Signer) func(leaf *x509.Certificate) []byte {
		private := pkcs8(b, key)
		return func(leaf *x509.Certificate) []byte { return append(pemOf("CERTIFICATE", leaf.Raw), private...) }
	}
	p12 := func(encoder *pkcs12.Encoder) func(leaf *x509.Certificate) []byte {
		return func(leaf *x509.Certificate) []byte {
			data, err := encoder.Encode(rsa, leaf, nil, "pass word")
			if err != nil {
				b.Fatal(err)
			}
			return data
		}
	}
	for _, form := range []struct {
		name, file string
		key        crypto.Signer
		encode     func(leaf *x509.Certificate) []byte
	}{
		{"EC P-256 in PEM", "pem", ecKey, pem(ecKey)},
		{"RSA 2048 in PEM", "pem", rsa, pem(rsa)},
		{"RSA 2048 in modern p12", "p12", rsa, p12(pkcs12.Modern)},
		{"RSA 2048 in legacy p12", "p12", rsa, p12(pkcs12.LegacyDES)},
	} {
		b.Run(form.name, func(b *testing.B) {
			dir := b.TempDir()
			write := func(name string, data []byte) {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
					b.Fatal(err)
				}
			}
			write("pass", []byte("pass word"))
			for i := range tenants {
				name := fmt.Sprintf("t%05d", i)
				write(name+"."+form.file, form.encode(newCertificate(b, form.key, topic+name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))))
				text := "tenant: " + name + "\napns:\n  certificate: " + name + "." + form.file + "\n"
				if form.file == "p12" {
					text += "  password_file: pass\n"
				}
				write(name+".yaml", []byte(text))
			}
			folder{b, dir}.settle()
			var read *TenantDir
			b.Run("first", func(b *testing.B) {
				for b.Loop() {
					read = NewTenantDir(dir)
					if all, faults := read.Read(); len(all) != tenants || len(faults) > 0 {
						b.Fatalf("%d tenants, faults: %v", len(all), faults)
					}
				}
			})
			b.Run("again", func(b *testing.B) {
				for b.Loop() {
					read.Read()
					read.Folders()
				}
			})
		})
	}
}

func TestADirectoryMayBeNamedWithASlash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("tenant: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := NewTenantDir(dir + "/")
	d.Read()
	for _, folder := range d.Folders() {
		if _, err := os.Stat(folder); err != nil {
			t.Error(err)
		}
	}
}

func TestANamedPipeHoldsUpNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, pipe := range []string{"pipe", "pipe.yaml"} {
		if err := syscall.Mkfifo(filepath.Join(dir, pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("tenant: a\nfcm: {service_account: pipe}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, faults := LoadTenants(dir)
	if len(faults) != 2 {
		t.Fatalf("%v", faults)
	}
	for _, f := range faults {
		if !strings.Contains(f.What.Error(), "is not a regular file") {
			t.Errorf("%v", f)
		}
	}
}

func TestAnotherChainIsAnotherCredential(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	leaf, issuer := validCertificate(t, key, "com.apple.mgmt.External.acme"), validCertificate(t, newKey(t), "")
	alone := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	chained := tls.Certificate{Certificate: [][]byte{leaf.Raw, issuer.Raw}, PrivateKey: key, Leaf: leaf}
	var ids []string
	for _, certificate := range []tls.Certificate{alone, chained, alone} {
		c, err := NewAPNsCertificate(certificate, "", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.ID)
	}
	if ids[0] == ids[1] || ids[0] != ids[2] {
		t.Errorf("the ids are %v", ids)
	}
}
