// Command torture does to real pushd processes what breaks daemons: it kills them, freezes them, moves their partitions, takes
// their broker, their disk and their networks away, while events are published, and then judges by what the simulators of the
// providers accepted whether anything was lost, and how many pushes were made twice.
//
//	go run ./loadtest/torture --list
//	go run ./loadtest/torture kill rebalance
//	go run ./loadtest/torture --short --embedded kill
//	go run ./loadtest/torture soak --minutes 10
//
// Nothing lost is expected of every ordeal; docs/reliability.md says what may be repeated, and has the figures of the long forms.
//
// Exit codes: 0 all ordeals passed; 1 one failed, or could not be played to its end; 2 it was called wrongly.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitPassed = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// command is the command line.
type command struct {
	Ordeals  []string `arg:"" optional:"" name:"ordeal" help:"Ordeals to play, in this order; all of them where none is named."`
	List     bool     `help:"List the ordeals."`
	Short    bool     `help:"Play the short forms: a few crashes instead of hundreds."`
	Minutes  float64  `help:"How long the soak lasts." default:"10" placeholder:"N"`
	Rate     float64  `help:"Events per second." default:"1000" placeholder:"N"`
	Seed     uint64   `help:"The same seed publishes the same events and has the same things done in the same order; 0 takes one from the clock." default:"0" placeholder:"S"`
	Embedded bool     `help:"Play with the broker in this process, instead of an Apache Kafka that is started (Java and Maven); ordeals that need a real one are left out."`
	Broker   string   `help:"Address of a Kafka broker to use instead; ordeals that restart it are left out." placeholder:"HOST:PORT"`
	Pushd    string   `help:"The daemon's binary; without it, it is built from this checkout." placeholder:"PATH"`
	Logs     string   `help:"Keep the daemons' logs in this directory." placeholder:"DIR" type:"path"`
	JSON     bool     `name:"json" help:"Print the reports as one JSON array."`
}

// maxRate is what the simulators, the broker and the daemons can do together on a small machine.
const maxRate = 20_000

// Validate is called by kong.
func (c *command) Validate() error {
	var faults []error
	for _, name := range c.Ordeals {
		if !slices.ContainsFunc(ordeals, func(o ordeal) bool { return o.name == name }) {
			faults = append(faults, fmt.Errorf("there is no ordeal %q; --list shows them", name))
		}
	}
	if !(c.Rate >= 10 && c.Rate <= maxRate) {
		faults = append(faults, fmt.Errorf("--rate: %g events per second is not between 10 and %d", c.Rate, maxRate))
	}
	if !(c.Minutes >= 0.5 && c.Minutes <= 24*60) {
		faults = append(faults, fmt.Errorf("--minutes: %g is not between 0.5 and a day's 1440", c.Minutes))
	}
	if c.Embedded && c.Broker != "" {
		faults = append(faults, errors.New("--embedded and --broker are two brokers: give one"))
	}
	return errors.Join(faults...)
}

func execute(args []string, stdout, stderr io.Writer) int {
	var c command
	helped := false // --help was printed; whatever kong says then does not matter
	parser := kong.Must(&c, kong.Name("torture"), kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }),
		kong.Description("Kills, freezes and cuts off real pushd processes under load, and judges from outside what was lost and what came twice."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}))
	_, err := parser.Parse(args)
	switch {
	case helped:
		return exitPassed
	case err != nil:
		fmt.Fprintf(stderr, "torture: %v\ntorture: --help shows how it is called\n", err)
		return exitUsage
	case c.List:
		for _, o := range ordeals {
			fmt.Fprintf(stdout, "%-10s %s\n", o.name, o.about)
		}
		return exitPassed
	}
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	return c.playAll(ctx, stdout, stderr)
}

// playAll plays one ordeal after the other, so that each has the machine for itself.
func (c *command) playAll(ctx context.Context, stdout, stderr io.Writer) int {
	var reports []*Report
	var failed, leftOut []string
	for _, o := range c.chosen() {
		if o.apache && (c.Embedded || c.Broker != "") {
			leftOut = append(leftOut, o.name)
			continue
		}
		r, err := c.perform(ctx, o, stderr)
		if err != nil {
			fmt.Fprintf(stderr, "torture: %s, seed %d: %v\n", o.name, c.Seed, err)
		}
		if err != nil || !r.Passed {
			failed = append(failed, o.name)
		}
		if r != nil {
			reports = append(reports, r)
		}
		if r != nil && !c.JSON {
			r.table(stdout)
		}
		if ctx.Err() != nil {
			break
		}
	}
	if c.JSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(reports); err != nil {
			fmt.Fprintf(stderr, "torture: %v\n", err)
			return exitFailed
		}
	} else {
		fmt.Fprintln(stdout, summary(reports, failed, leftOut))
	}
	if len(failed) > 0 {
		return exitFailed
	}
	return exitPassed
}

// summary is the last line.
func summary(reports []*Report, failed, leftOut []string) string {
	events, lost, extra, passed := 0, 0, 0, 0
	for _, r := range reports {
		events, lost, extra = events+r.Events, lost+r.lost(), extra+r.Extra
		if r.Passed {
			passed++
		}
	}
	line := fmt.Sprintf("ordeals passed %d failed %d, events %d lost %d extra %d", passed, len(failed), events, lost, extra)
	if len(failed) > 0 {
		line += "; failed: " + strings.Join(failed, ", ")
	}
	if len(leftOut) > 0 {
		line += "; left out, as they need an Apache Kafka of their own: " + strings.Join(leftOut, ", ")
	}
	return line
}

// chosen are the ordeals of the command line.
func (c *command) chosen() []ordeal {
	if len(c.Ordeals) == 0 {
		return ordeals
	}
	var chosen []ordeal
	for _, name := range c.Ordeals {
		chosen = append(chosen, ordeals[slices.IndexFunc(ordeals, func(o ordeal) bool { return o.name == name })])
	}
	return chosen
}
