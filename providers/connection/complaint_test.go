package connection

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAFailureIsToldAtOnceAndThenOnceAMinuteWithTheNumberLeftOut(t *testing.T) {
	t.Parallel()
	c := Complaints{}
	start := time.Now()
	for i, step := range []struct {
		after   time.Duration
		kind    Kind
		loud    bool
		leftOut int
	}{
		{0, Dial, true, 0},
		{time.Second, Dial, false, 0},
		{2 * time.Second, TLS, true, 0},
		{59 * time.Second, Dial, false, 0},
		{time.Minute, Dial, true, 2},
		{2 * time.Minute, Dial, true, 0},
		{2*time.Minute + time.Second, TLS, true, 0},
	} {
		if loud, leftOut := c.About(step.kind, start.Add(step.after)); loud != step.loud || leftOut != step.leftOut {
			t.Errorf("step %d: loud is %v and left out are %d", i, loud, leftOut)
		}
	}
	c.Over()
	if loud, _ := c.About(Dial, start.Add(2*time.Minute+2*time.Second)); !loud {
		t.Error("the first failure after a connection is not told")
	}
}

func TestAProviderThatIsAwayIsOneLine(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.config.DialRate = 1000
	pool := s.pool(t, 10, nil)
	var log bytes.Buffer // a dial has ended, and logged, before those who wait for it go on
	pool.logger = slog.New(slog.NewTextHandler(&log, nil))
	s.Server.Close()
	for range 5 {
		if e := s.ask(t, t.Context(), pool); e.Failure == nil || e.Failure.Kind != Dial {
			t.Fatalf("%+v", e)
		}
	}
	if lines := strings.Count(log.String(), "no connection to the provider"); lines != 1 {
		t.Errorf("%d lines:\n%s", lines, log.String())
	}
}
