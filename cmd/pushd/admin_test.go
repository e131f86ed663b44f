package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// startAdmin serves the admin listener on a free port until the test ends.
func startAdmin(t *testing.T, ready *readiness, collectors ...prometheus.Collector) string {
	t.Helper()
	return "http://" + startAdminOf(t, AdminConfig{Listen: "127.0.0.1:0"}, ready, collectors...).addr().String()
}

func startAdminOf(t *testing.T, cfg AdminConfig, ready *readiness, collectors ...prometheus.Collector) *admin {
	t.Helper()
	reg := newRegistry(build{Version: "v1.2.3", Commit: "abc", Go: "go1.26"})
	reg.MustRegister(collectors...)
	a, err := listenAdmin(cfg, reg, ready, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- a.serve() }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := a.stop(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return a
}

func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body), response.Header
}

func TestTheAdminListenerIsForThisMachineUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		"127.0.0.1:9464":        "",
		"127.8.8.8:9464":        "",
		"[::1]:0":               "",
		"[::ffff:127.0.0.1]:80": "",
		"localhost:9464":        "",
		"0.0.0.0:9464":          "other machines",
		":9464":                 "other machines",
		"[::]:9464":             "other machines",
		"192.0.2.1:9464":        "other machines",
		"127.0.0.1.evil:9464":   "other machines",
		"admin.example:9464":    "other machines",
		"127.0.0.1":             "with a port",
		"":                      "with a port",
		"127.0.0.1:http-alt-x":  "not a port",
		"127.0.0.1:70000":       "not a port",
	} {
		err := AdminConfig{Listen: listen}.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("listen %q: %v, want %q", listen, err, want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "admin.listen: ") {
			t.Errorf("listen %q: %q does not begin with its key", listen, err)
		}
	}
	remote := AdminConfig{Listen: "0.0.0.0:9464", AllowRemote: true}
	if err := remote.Validate(); err == nil || !strings.HasPrefix(err.Error(), "admin.tokens_file: is empty, and ") {
		t.Errorf("with admin.allow_remote and nobody who may ask: %v", err)
	}
	remote.TokensFile = file(t, "p viewer sha256:"+strings.Repeat("0", 64)+"\n")
	if err := remote.Validate(); err != nil {
		t.Errorf("with admin.allow_remote and admin.tokens_file: %v", err)
	}
}

func TestMetricsTellTheBuildAndHaveNativeHistograms(t *testing.T) {
	t.Parallel()
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "pushd_test_seconds", Help: "A histogram.", Buckets: []float64{1, 10}, NativeHistogramBucketFactor: 1.1,
	})
	histogram.Observe(0.3)
	url := startAdmin(t, newReadiness(), histogram)
	status, body, _ := get(t, url+"/metrics")
	for _, want := range []string{
		`pushd_build_info{commit="abc",go_version="go1.26",version="v1.2.3"} 1`, "go_goroutines ", "process_open_fds ",
		`pushd_test_seconds_bucket{le="1"} 1`,
	} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("status %d; %q is not among the metrics", status, want)
		}
	}

	request, err := http.NewRequest(http.MethodGet, url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); !strings.Contains(kind, "protobuf") {
		t.Errorf("native histograms need protobuf, the answer is %s", kind)
	}
}

func TestReadyzTellsWhyNot(t *testing.T) {
	t.Parallel()
	ready := newReadiness()
	assigned := false
	ready.add("kafka", func() (bool, string) { return assigned, "no partition is assigned" })
	ready.add("ledger", func() (bool, string) { return true, "half of the disk is full" })
	url := startAdmin(t, ready)

	ask := func(wantStatus int) readyAnswer {
		t.Helper()
		status, body, header := get(t, url+"/readyz")
		var answer readyAnswer
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if status != wantStatus || answer.Ready != (status == http.StatusOK) || header.Get("Content-Type") != "application/json" {
			t.Fatalf("status %d (want %d), %s", status, wantStatus, body)
		}
		return answer
	}
	if answer := ask(503); answer.Phase != starting {
		t.Errorf("before the start: %+v", answer)
	}
	ready.enter(running)
	answer := ask(503)
	if len(answer.Checks) != 2 || answer.Checks[0] != (checkState{"kafka", false, "no partition is assigned"}) || answer.Checks[1] != (checkState{"ledger", true, "half of the disk is full"}) {
		t.Errorf("without partitions: %+v", answer)
	}
	assigned = true
	ask(200)
	ready.enter(stopping)
	if answer := ask(503); answer.Phase != stopping {
		t.Errorf("at the end: %+v", answer)
	}
	if status, body, _ := get(t, url+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", status, body)
	}
}

func TestTheAdminListenerOnlyReads(t *testing.T) {
	t.Parallel()
	url := startAdmin(t, newReadiness())
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		response, err := http.Post(url+path, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, response.StatusCode)
		}
	}
	if status, _, _ := get(t, url+"/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("/debug/pprof/: %d", status)
	}
}

func TestAnswersAreNoPagesForOthers(t *testing.T) {
	t.Parallel()
	url := startAdmin(t, newReadiness())
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/none"} {
		_, _, header := get(t, url+path)
		if header.Get("Content-Security-Policy") != "default-src 'none'; frame-ancestors 'none'" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the header is %v", path, header)
		}
	}
}

func TestTheAdminListenerRefusesLargeHeaders(t *testing.T) {
	t.Parallel()
	url := startAdmin(t, newReadiness())
	request, err := http.NewRequest(http.MethodGet, url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Filler", strings.Repeat("x", 2*adminMaxHeader))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestAnAddressThatIsTakenIsTold(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = listenAdmin(AdminConfig{Listen: taken.Addr().String()}, newRegistry(build{}), newReadiness(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.HasPrefix(err.Error(), "admin.listen: ") {
		t.Errorf("error is %v", err)
	}
}
