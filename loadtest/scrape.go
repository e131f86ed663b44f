package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Scrapes is what the daemon says of itself, each second.
type Scrapes struct {
	Count          int     `json:"count"`
	Least          int     `json:"least"` // that a run of this length has to have
	Failed         int     `json:"failed"`
	WorstImbalance float64 `json:"worst_imbalance"` // the one farthest from 0
}

// balanced says whether the account was watched all the time, but for a fifth of the seconds on a busy machine, and was
// always right.
func (s Scrapes) balanced() bool {
	return s.Count > 0 && s.Count >= s.Least && s.Failed == 0 && s.WorstImbalance == 0
}

// scrapeWithin is how long a scrape may take. The main loop waits for it, so it is not much longer than from one to the next.
const scrapeWithin = 2 * time.Second

// scraper reads /metrics as Prometheus would.
type scraper struct {
	url    string
	client http.Client

	mu       sync.Mutex // guards what stands below
	scrapes  Scrapes
	last     map[string]float64 // by name with labels; by name alone, the sum of all labels
	greatest map[string]float64
	spreads  map[string]bool // the histograms and summaries, by name: they have no value to be bounded
}

func newScraper(admin string) *scraper {
	return &scraper{
		url: "http://" + admin + "/metrics", client: http.Client{Timeout: scrapeWithin},
		greatest: make(map[string]float64), spreads: make(map[string]bool),
	}
}

// once scrapes.
func (s *scraper) once(ctx context.Context) {
	values, err := s.get(ctx)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scrapes.Count++
	imbalance, known := values["pushd_accounting_imbalance"]
	if err != nil || !known {
		s.scrapes.Failed++
		return
	}
	if math.Abs(imbalance) > math.Abs(s.scrapes.WorstImbalance) {
		s.scrapes.WorstImbalance = imbalance
	}
	s.last = values
	for name, value := range values {
		if greatest, known := s.greatest[name]; !known || value > greatest {
			s.greatest[name] = value
		}
	}
}

func (s *scraper) get(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", s.url, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, err
	}
	values := make(map[string]float64)
	for name, family := range families {
		if kind := family.GetType(); kind == dto.MetricType_HISTOGRAM || kind == dto.MetricType_SUMMARY {
			s.spread(name)
			for _, m := range family.GetMetric() { // of all labels together
				values[name+"_sum"] += m.GetHistogram().GetSampleSum() + m.GetSummary().GetSampleSum()
				values[name+"_count"] += float64(m.GetHistogram().GetSampleCount() + m.GetSummary().GetSampleCount())
			}
			continue
		}
		for _, m := range family.GetMetric() {
			values[series(name, m)] = value(m)
			if len(m.GetLabel()) > 0 {
				values[name] += value(m)
			}
		}
	}
	return values, nil
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

// now is the value of a series at the last scrape; 0 where there is none.
func (s *scraper) now(name string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[name]
}

// most is the greatest value that a series had. Where there is none, it says why.
func (s *scraper) most(name string) (value float64, missing string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, seen := s.greatest[name]
	family, _, _ := strings.Cut(name, "{")
	switch {
	case seen:
		return value, ""
	case s.spreads[family]:
		return 0, "a histogram or summary, which has no value"
	}
	return 0, "at no scrape"
}

func (s *scraper) spread(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spreads[name] = true
}

// sum is what was scraped in a run of such a length.
func (s *scraper) sum(length time.Duration) Scrapes {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.scrapes
	sum.Least = seconds(length) * 4 / 5
	return sum
}
