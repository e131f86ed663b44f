package scrape

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }

const exposed = `# TYPE opened_total counter
opened_total{provider="apns"} 2
opened_total{provider="fcm"} 3
# TYPE fast_seconds histogram
fast_seconds_bucket{le="0.5"} 3
fast_seconds_bucket{le="1"} 7
fast_seconds_bucket{le="2.5"} 7
fast_seconds_bucket{le="+Inf"} 7
fast_seconds_sum 4
fast_seconds_count 7
# TYPE slow_seconds histogram
slow_seconds_bucket{le="1"} 6
slow_seconds_bucket{le="+Inf"} 7
slow_seconds_sum 400
slow_seconds_count 7
# TYPE unused_seconds histogram
unused_seconds_bucket{le="1"} 0
unused_seconds_bucket{le="+Inf"} 0
unused_seconds_sum 0
unused_seconds_count 0
`

func TestValuesAreBySeriesAndByName(t *testing.T) {
	t.Parallel()
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, exposed) }))
	defer admin.Close()
	v, err := Get(t.Context(), admin.Client(), strings.TrimPrefix(admin.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		`opened_total{provider="apns"}`: 2, "opened_total": 5, "fast_seconds_count": 7, "slow_seconds_sum": 400,
	} {
		if v[name] != want {
			t.Errorf("%s is %g, want %g", name, v[name], want)
		}
	}
	for name, want := range map[string]float64{"fast_seconds": 1, "slow_seconds": math.Inf(1), "unused_seconds": 0, "none_seconds": 0} {
		if got := v.Slowest(name); got != want {
			t.Errorf("the slowest of %s took %g s, want %g", name, got, want)
		}
	}
}

func TestADaemonThatDoesNotAnswerAsOneIsAnError(t *testing.T) {
	t.Parallel()
	admin := httptest.NewServer(http.NotFoundHandler())
	defer admin.Close()
	if _, err := Get(t.Context(), admin.Client(), strings.TrimPrefix(admin.URL, "http://")); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
}
