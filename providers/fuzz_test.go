package providers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"math"
	"strings"
	"testing"
	"time"
)

// FuzzTenantFile: whatever stands in a tenant's file, it is a tenant that can be used, or each of its faults says what is wrong
// in which file.
func FuzzTenantFile(f *testing.F) {
	for _, text := range []string{
		"tenant: acme\napns:\n  certificate: acme.pem\n",
		"tenant: acme\nfcm: {service_account: acme.json}\nrate: 0.5\nin_flight: 7\nweight: 100\n",
		"tenant: acme\napns:\n  p8: AuthKey_ABCDE12345.p8\n  key_id: ABCDE12345\n  team_id: TEAM123456\n  topic: com.acme.mdm\n",
		"tenant: a/b\nrate: .inf\nweight: 101\nin_flight: -1\n", "tenant: [x]\napns: 3\n", "tenant: a\ntenant: b\n", "a: &a [*a]\n", "---\n---\n", "",
	} {
		f.Add([]byte(text))
	}
	folder := newFolder(f)
	key := newKey(f)
	folder.write("acme.pem", 0o600, append(pemOf("CERTIFICATE", validCertificate(f, key, topic).Raw), pkcs8(f, key)...))
	folder.write("AuthKey_ABCDE12345.p8", 0o600, pkcs8(f, key))
	f.Fuzz(func(t *testing.T, text []byte) {
		here := folder
		here.t = t
		here.write("acme.yaml", 0o600, text)
		doc, tenant := loadTenant(here.dir+"/acme.yaml", time.Now())
		if doc == nil {
			t.Fatal("nothing is known of the file")
		}
		for _, fault := range doc.faults {
			if fault.File == "" || fault.What == nil || strings.TrimSpace(fault.What.Error()) == "" {
				t.Errorf("a fault without words: %+v", fault)
			}
		}
		if tenant.Weight < 1 || tenant.Weight > maxWeight || tenant.InFlight < 0 || !(tenant.Rate >= 0) || math.IsInf(tenant.Rate, 0) {
			t.Errorf("limits that cannot be kept: %+v", tenant)
		}
		if tenant.Name != "" && tenantName(tenant.Name) != nil {
			t.Errorf("the name %q was taken", tenant.Name)
		}
		if len(doc.faults) == 0 && (tenant.Name == "" || tenant.APNs == nil && tenant.FCM == nil) {
			t.Errorf("no fault was found in what can send nothing: %+v", tenant)
		}
	})
}

// FuzzCredential: whatever stands in a credential's file, what is made of it can sign, and what a refusal says repeats no line
// of the file. A .p12 is not tried: it says itself how long its key takes to derive.
func FuzzCredential(f *testing.F) {
	key := newKey(f)
	certificate, private := pemOf("CERTIFICATE", validCertificate(f, key, topic).Raw), pkcs8(f, key)
	f.Add(append(certificate, private...), private)
	f.Add(certificate, pkcs8(f, newKey(f)))
	f.Add(private, certificate)
	f.Add(certificate, pkcs8(f, rsaKey()))
	f.Add(serviceAccount(f, nil), []byte("{}"))
	f.Add(serviceAccount(f, func(fields map[string]string) { fields["token_uri"] = "http://127.0.0.1/token" }), []byte(nil))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		refused := func(err error) {
			for line := range strings.Lines(string(first) + "\n" + string(second)) {
				if line = strings.TrimSpace(line); len(line) > 40 && strings.Contains(err.Error(), line) {
					t.Errorf("the refusal repeats the file: %v", err)
				}
			}
		}
		pair, err := ParsePEM(File{"first.pem", first}, File{"second.pem", second})
		if err != nil {
			refused(err)
		} else if signer, is := pair.PrivateKey.(*ecdsa.PrivateKey); is && !signer.PublicKey.Equal(pair.Leaf.PublicKey) {
			t.Error("the key is not the certificate's")
		}
		if apns, err := NewAPNsKey(File{"key.p8", second}, "ABCDE12345", "TEAM123456", "com.acme.mdm"); err != nil {
			refused(err)
		} else if k := apns.Token.Key.Reveal(); k.Curve != elliptic.P256() {
			t.Error("a key that ES256 cannot use was taken")
		} else if _, err := ecdsa.SignASN1(rand.Reader, k, make([]byte, 32)); err != nil {
			t.Error(err)
		}
		if fcm, err := NewFCMCredential(first); err != nil {
			refused(err)
		} else if fcm.TokenURI.Scheme != "https" || fcm.TokenURI.Host == "" || fcm.ProjectID == "" || strings.Contains(fcm.ProjectID, "/") {
			t.Errorf("a service account for %q at %q was taken", fcm.ProjectID, fcm.TokenURI)
		}
	})
}
