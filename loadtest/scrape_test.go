package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const exposed = `# TYPE pushd_accounting_imbalance gauge
pushd_accounting_imbalance 0
# TYPE pushd_breaker_opened_total counter
pushd_breaker_opened_total{provider="apns"} 2
pushd_breaker_opened_total{provider="fcm"} 0
# TYPE pushd_end_to_end_seconds histogram
pushd_end_to_end_seconds_bucket{le="+Inf"} 7
pushd_end_to_end_seconds_sum 9
pushd_end_to_end_seconds_count 7
`

func TestOnlyASeriesThatAScrapeHadHasAValue(t *testing.T) {
	t.Parallel()
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, exposed) }))
	defer admin.Close()
	s := newScraper(strings.TrimPrefix(admin.URL, "http://"))
	s.once(t.Context())
	s.client.CloseIdleConnections()
	for name, want := range map[string]struct {
		value   float64
		missing string
	}{
		`pushd_breaker_opened_total{provider="apns"}`: {2, ""},
		`pushd_breaker_opened_total{provider="fcm"}`:  {0, ""},
		"pushd_breaker_opened_total":                  {2, ""},
		`pushd_breaker_opened_total{provider="gcm"}`:  {0, "at no scrape"},
		"pushd_no_such_metric_total":                  {0, "at no scrape"},
		"pushd_end_to_end_seconds":                    {0, "a histogram or summary, which has no value"},
		`pushd_end_to_end_seconds{le="+Inf"}`:         {0, "a histogram or summary, which has no value"},
		"pushd_end_to_end_seconds_count":              {7, ""},
	} {
		if value, missing := s.most(name); value != want.value || missing != want.missing {
			t.Errorf("%s: %g, %q; want %g, %q", name, value, missing, want.value, want.missing)
		}
	}
	if sum := s.sum(30 * time.Second); sum.Count != 1 || sum.Least != 24 || sum.balanced() {
		t.Errorf("one scrape in 30 s is enough: %+v", sum)
	}
}
