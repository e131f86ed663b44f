package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	// ratesAfter is how long the demo runs before it says how fast it is: until then the number says nothing.
	ratesAfter = time.Second
	// linesEvery is how often it says how far it is where there is no terminal to draw on.
	linesEvery = 5 * time.Second
)

// demoProgress tells people how far the demo is: by a bar that is drawn over itself on a terminal, by a line now and then
// elsewhere.
type demoProgress struct {
	w      io.Writer
	events int
	began  time.Time
	told   time.Time                // when the last line was written
	bar    *progressbar.ProgressBar // nil where there is no terminal
}

func newDemoProgress(w io.Writer, events int, terminal bool, now time.Time) *demoProgress {
	p := &demoProgress{w: w, events: events, began: now, told: now}
	if terminal {
		p.bar = progressbar.NewOptions(events,
			progressbar.OptionSetWriter(w), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30))
	}
	return p
}

// set says of how many events something has become.
func (p *demoProgress) set(done int, now time.Time) {
	what := "woken"
	if took := now.Sub(p.began); took >= ratesAfter {
		what = fmt.Sprintf("woken, %.0f events/s", float64(done)/took.Seconds())
	}
	switch {
	case p.bar != nil:
		p.bar.Describe(what)
		_ = p.bar.Set(done) // the terminal went away; nobody is left to be told
	case now.Sub(p.told) >= linesEvery:
		p.told = now
		fmt.Fprintf(p.w, "%d of %d events: %s\n", done, p.events, what)
	}
}

// end takes the bar away.
func (p *demoProgress) end() {
	if p.bar != nil {
		_ = p.bar.Finish() // likewise
	}
}

// onTerminal says whether what is written is drawn at once for somebody to see. A device that is no terminal, such as
// /dev/null, takes the bar for nothing.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
