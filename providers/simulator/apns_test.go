package simulator

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSmoke(t *testing.T) {
	ca, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := StartAPNs(APNsConfig{Authority: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	cert, err := ca.PushCertificate("com.apple.mgmt.External.x", PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{cert.TLS}}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	for _, body := range []string{`{"mdm":"a"}`, ``} {
		resp, err := c.Post(srv.URL()+"/3/device/abcd", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		t.Log(resp.Proto, resp.StatusCode, string(b), resp.Header)
	}
	t.Log(srv.Account().At("abcd"), srv.Account().Answers(), srv.Stats())
}
