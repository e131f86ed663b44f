package http2

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http2"

	"pushd/providers"
)

//lint:file-ignore SA1019 net/http serves HTTP/2 on listeners only, and these connections are pipes

// answersAll is a server that answers 200, on connections that are pipes.
func answersAll(t *testing.T) Dial {
	return func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		server := http2.Server{IdleTimeout: time.Hour}
		go server.ServeConn(theirs, &http2.ServeConnOpts{
			Context: t.Context(),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }),
		})
		return ours, nil
	}
}

// budgeted makes a client within a budget; metrics counts for all of them.
func budgeted(t *testing.T, budget *Budget, metrics *providers.Metrics) *Client {
	c := New(answersAll(t), Options{
		Provider: "test", Connections: 2, Streams: 10, RequestTimeout: 10 * time.Second, SettingsWithin: 10 * time.Second,
		PingInterval: time.Hour, PingTimeout: 15 * time.Second, Metrics: metrics, Budget: budget,
		GoAwayReason: func([]byte) string { return "" }, Refuses: func([]byte) bool { return false },
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(c.Close)
	return c
}

// all is a Caller that hears of one request.
type all chan Answer

func (a all) Answered(answers []Answer) {
	for _, answer := range answers {
		a <- answer
	}
}

func (c *Client) one(t *testing.T) {
	t.Helper()
	heard := make(all, 1)
	c.Send(heard, []Request{{Head: NewHead("localhost"), Path: []byte("/")}})
	if a := <-heard; a.Status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
}

func TestABudgetIsKeptByThoseThatRestForLongest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		metrics := providers.NewMetrics(prometheus.NewRegistry())
		budget := NewBudget(2)
		first, second, third := budgeted(t, budget, metrics), budgeted(t, budget, metrics), budgeted(t, budget, metrics)
		rest := func() { time.Sleep(2 * longTick); synctest.Wait() }
		first.one(t)
		rest()
		second.one(t)
		third.one(t) // while the second does not rest yet: the first gives its connection up
		synctest.Wait()
		if a, b, c := len(first.ordinary.open), len(second.ordinary.open), len(third.ordinary.open); a != 0 || b != 1 || c != 1 || budget.held != 2 {
			t.Errorf("connections are %d, %d and %d, and %d in all", a, b, c, budget.held)
		}
		first.one(t) // nobody rests: it has its first connection anyway
		if n := len(first.ordinary.open); n != 1 || budget.held != 3 {
			t.Errorf("%d connections, and %d in all", n, budget.held)
		}
		first.mu.Lock()
		first.ordinary.grow() // but no second one
		first.mu.Unlock()
		rest()
		if n := len(first.ordinary.open); n != 1 || budget.held != 3 {
			t.Errorf("%d connections, and %d in all", n, budget.held)
		}
		for _, c := range []*Client{first, second, third} {
			c.Close()
		}
		if budget.held != 0 || budget.resting.Len() != 0 {
			t.Errorf("%d connections and %d clients are left", budget.held, budget.resting.Len())
		}
	})
}
