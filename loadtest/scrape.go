package main

import (
	"context"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"pushd/loadtest/scrape"
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
	admin  string
	client http.Client

	mu       sync.Mutex // guards what stands below
	scrapes  Scrapes
	last     scrape.Values
	greatest scrape.Values
}

func newScraper(admin string) *scraper {
	return &scraper{admin: admin, client: http.Client{Timeout: scrapeWithin}, greatest: make(scrape.Values)}
}

// once scrapes.
func (s *scraper) once(ctx context.Context) {
	values, err := scrape.Get(ctx, &s.client, s.admin)
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
	_, spread := s.greatest[family+"_count"]
	switch {
	case seen:
		return value, ""
	case spread:
		return 0, "a histogram or summary, which has no value"
	}
	return 0, "at no scrape"
}

// sum is what was scraped in a run of such a length.
func (s *scraper) sum(length time.Duration) Scrapes {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.scrapes
	sum.Least = seconds(length) * 4 / 5
	return sum
}
