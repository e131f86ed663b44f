package http2

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNghttpd is interop with nghttp2, whose decoder of headers is strict.
func TestNghttpd(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("nghttpd")
	if err != nil {
		t.Skip("nghttpd is not installed (Debian: apt-get install nghttp2-server)")
	}
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"as it comes", nil},
		{"with a small header table", []string{"--header-table-size=128"}},
		{"with no header table", []string{"--header-table-size=0"}},
		{"with 7 streams", []string{"--max-concurrent-streams=7"}},
		{"with a small window", []string{"--window-bits=10", "--connection-window-bits=16"}},
		{"with padding", []string{"--padding=100"}},
		{"with echo", []string{"--echo-upload"}},
		{"with trailers", []string{"--trailer=x-end: yes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, roots := nghttpd(t, path, c.flags)
			r := connectTo(t, func() string { return address }, roots, 2, 200, newMetrics())
			r.ask(t, 3000, func(n int) Request {
				q := interopRequest(n)
				if q.Path = []byte("/file.txt"); n%3 == 0 {
					q.Path = []byte("/missing")
				}
				return q
			}, func(n int, a Answer) bool {
				if n%3 == 0 && !strings.Contains(fmt.Sprint(c.flags), "echo") {
					return status(http.StatusNotFound)(n, a) && bytes.Contains(a.Body, []byte("404"))
				}
				return status(http.StatusOK)(n, a)
			})
			if n := r.dialed.Load(); n > 2 {
				t.Errorf("%d connections were made", n)
			}
		})
	}
}

// nghttpd starts a server that ends with the test.
func nghttpd(t *testing.T, path string, flags []string) (address string, roots *x509.CertPool) {
	dir := t.TempDir()
	s, roots := goServer(t, nil) // for its certificate
	pair := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key}, "file.txt": nil,
	} {
		text := []byte("a file\n")
		if block != nil {
			text = pem.EncodeToMemory(block)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(address)
	args := append(flags, "--address=127.0.0.1", "--htdocs="+dir, port, filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem"))
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, path, args...)
	var says bytes.Buffer
	server.Stdout, server.Stderr = &says, &says
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		server.Wait()
		if t.Failed() {
			t.Logf("nghttpd %v says: %s", args, &says)
		}
	})
	for deadline := time.Now().Add(patience); ; { // the process takes its time until it listens
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return address, roots
		}
		if time.Now().After(deadline) {
			t.Fatalf("nghttpd does not listen: %v", err)
		}
	}
}
