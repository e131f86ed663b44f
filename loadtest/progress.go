package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// tellEvery is how many seconds lie between two lines of progress where there is no terminal to draw a bar on.
const tellEvery = 10

// progress tells people how far it is: by a bar on a terminal, elsewhere by a line now and then.
type progress struct {
	w        io.Writer
	terminal bool
	terse    bool // it is one run of many, whose stages are always the same
	length   int  // of the load, in seconds
	bar      *progressbar.ProgressBar
	told     int  // the second of the last line
	waiting  bool // a line has said that the load is over
}

func newProgress(w io.Writer, length int) *progress {
	return &progress{w: w, terminal: isTerminal(w), length: length}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// stage tells what is done before the load.
func (p *progress) stage(format string, args ...any) {
	if !p.terse {
		p.say(format, args...)
	}
}

func (p *progress) say(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// second tells how the last second was. The first one is no measure: the publisher still connects in it.
func (p *progress) second(n, published, pushes, open int) {
	if n < 2 {
		return
	}
	what := fmt.Sprintf("%d events/s, %d pushes/s, %d open", published, pushes, open)
	over := n >= p.length
	if over {
		what = fmt.Sprintf("waiting for the last: %d pushes/s, %d open", pushes, open)
	}
	if p.terminal {
		p.draw(n, what)
	} else if n >= p.told+tellEvery || over && !p.waiting {
		p.told, p.waiting = n, over
		p.say("second %d of %d: %s", n, p.length, what)
	}
}

func (p *progress) draw(n int, what string) {
	if p.bar == nil {
		p.bar = progressbar.NewOptions(p.length,
			progressbar.OptionSetWriter(p.w), progressbar.OptionSetWidth(20), progressbar.OptionSetPredictTime(false),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	p.bar.Describe(what)
	_ = p.bar.Set(min(n, p.length-1)) // the terminal went away; nobody is left to be told
}

func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish() // likewise
	}
}
