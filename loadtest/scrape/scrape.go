// Package scrape reads what a daemon says of itself, as Prometheus would.
package scrape

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Values are the values of a scrape: by name with labels, as /metrics writes it, and by name alone the sum of all labels. A
// histogram or summary has no value of its own, but a _sum and a _count, of all labels together, and a histogram its buckets.
type Values map[string]float64

// Get scrapes the daemon whose admin listener is at an address.
func Get(ctx context.Context, client *http.Client, admin string) (Values, error) {
	url := "http://" + admin + "/metrics"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	values := make(Values)
	for name, family := range families {
		for _, m := range family.GetMetric() {
			values.add(name, family.GetType(), m)
		}
	}
	return values, nil
}

func (v Values) add(name string, kind dto.MetricType, m *dto.Metric) {
	if kind == dto.MetricType_HISTOGRAM || kind == dto.MetricType_SUMMARY {
		v[name+"_sum"] += m.GetHistogram().GetSampleSum() + m.GetSummary().GetSampleSum()
		v[name+"_count"] += float64(m.GetHistogram().GetSampleCount() + m.GetSummary().GetSampleCount())
		for _, b := range m.GetHistogram().GetBucket() {
			v[bucket(name, b.GetUpperBound())] += float64(b.GetCumulativeCount())
		}
		return
	}
	v[series(name, m)] = value(m)
	if len(m.GetLabel()) > 0 {
		v[name] += value(m)
	}
}

func bucket(name string, upTo float64) string {
	return fmt.Sprintf("%s_bucket{le=%q}", name, strconv.FormatFloat(upTo, 'g', -1, 64))
}

// Slowest is a bound of what a histogram of seconds has seen: the upper end of its highest bucket with something in it, which is
// infinite where it is beyond them all; 0 where nothing was seen.
func (v Values) Slowest(name string) (seconds float64) {
	all := v[name+"_count"]
	if all == 0 {
		return 0
	}
	least, found := 0.0, false
	for key, n := range v {
		text, isBucket := strings.CutPrefix(key, name+`_bucket{le="`)
		upTo, err := strconv.ParseFloat(strings.TrimSuffix(text, `"}`), 64)
		if isBucket && err == nil && n == all && (!found || upTo < least) {
			least, found = upTo, true
		}
	}
	return least
}

// series is a metric's name with its labels, as /metrics writes it.
func series(name string, m *dto.Metric) string {
	var labels []string
	for _, l := range m.GetLabel() {
		labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	if len(labels) == 0 {
		return name
	}
	return name + "{" + strings.Join(labels, ",") + "}"
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return m.GetUntyped().GetValue()
}
