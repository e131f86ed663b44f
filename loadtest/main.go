// Command loadtest answers one question: does the whole daemon hold the rate, and lose nothing? It plays a scenario: a broker
// and simulators of APNs and FCM around a daemon that is a process of its own, events that are published at the times of a
// plan whatever the daemon does, and what goes wrong meanwhile. What came of the events it takes from the publisher's list
// and the simulators' accounts; pushd's own account is only watched for its balance.
//
//	go run ./loadtest --list
//	go run ./loadtest --scenario provider-outage
//	go run ./loadtest --ramp --p99 100ms
//	go run ./loadtest --compare a.json b.json
//
// How fast one part is, and against what, is the question of the benchmarks.
//
// Exit codes: 0 the scenario passed; 1 it failed, or could not be played to its end; 2 it was called wrongly. "go run" makes 1 of
// both: build it to see them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
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

// maxEmbedded is how many events the embedded broker is given, half a kilobyte of memory each.
const maxEmbedded = 2_000_000

// command is the command line.
type command struct {
	Scenario string         `help:"Scenario: a name that --list shows, or a file." default:"steady" placeholder:"NAME|FILE"`
	List     bool           `help:"List the scenarios."`
	Duration *time.Duration `help:"How long events are published, instead of the scenario's." placeholder:"30s"`
	Rate     *float64       `help:"Events per second over all groups, instead of the scenario's; bursts go with it." placeholder:"N"`
	Seed     uint64         `help:"The same seed publishes the same events; 0 takes one from the clock." default:"0" placeholder:"S"`
	Brokers  []string       `aliases:"broker" help:"Addresses of a Kafka cluster to use, instead of the embedded one; this run makes its own topics there and deletes them." placeholder:"HOST:PORT"`
	Pushd    string         `help:"The daemon's binary; without it, it is built from this checkout." placeholder:"PATH"`
	JSON     bool           `name:"json" help:"Print the result as one JSON object, with the same numbers as the table."`
	Report   string         `help:"Write the result to this file as a page for a browser, with plots; it loads nothing from elsewhere." placeholder:"FILE.html"`
	Log      string         `help:"Write the daemon's log to this file." placeholder:"FILE"`

	rampOptions
	backlogOptions
	compareOptions

	files files
}

// Validate is called by kong.
func (c *command) Validate(given *kong.Context) error {
	faults := c.idle(given)
	if c.Duration != nil && (*c.Duration < shortestRun || *c.Duration > longestRun) {
		faults = append(faults, fmt.Errorf("--duration: %v is not between %v and %v", *c.Duration, shortestRun, longestRun))
	}
	if c.Rate != nil && !(*c.Rate > 0 && *c.Rate <= maxRate) {
		faults = append(faults, fmt.Errorf("--rate: %g events per second is not above 0 and at most %d", *c.Rate, maxRate))
	}
	faults = append(append(faults, named(c.Brokers).Validate(), c.compareOptions.faults()), c.backlogOptions.faults(c)...)
	return errors.Join(append(faults, c.rampOptions.faults(c)...)...)
}

// idle are faults of flags that were given without the one that they belong to, which has the name of their group: another run
// than the one that was meant would start.
func (c *command) idle(given *kong.Context) (faults []error) {
	on := map[string]bool{"ramp": c.Ramp, "compare": c.Compare}
	for _, part := range given.Path {
		if part.Flag == nil || part.Flag.Group == nil {
			continue
		}
		name, owner := part.Flag.Name, part.Flag.Group.Key
		if isOn, owns := on[owner]; owns && !isOn && name != owner {
			faults = append(faults, fmt.Errorf("--%s does nothing without --%s: add --%s, or leave --%s out", name, owner, owner, name))
		}
	}
	return faults
}

func execute(args []string, stdout, stderr io.Writer) int {
	var c command
	helped := false // --help was printed; kong goes on after it, and whatever it says then does not matter
	parser := kong.Must(&c, kong.Name("loadtest"), kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }),
		kong.Description("Does the whole daemon hold the rate, and lose nothing? Plays a scenario against broker and simulators, with pushd as a process of its own."),
		kong.ExplicitGroups([]kong.Group{{Key: "ramp", Title: "The highest rate:"}, {Key: "backlog", Title: "What is there before:"}, {Key: "compare", Title: "Two results:"}}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}))
	_, err := parser.Parse(args)
	switch {
	case helped:
		return exitPassed
	case err != nil:
		fmt.Fprintf(stderr, "loadtest: %v\nloadtest: --help shows how it is called\n", err)
		return exitUsage
	case c.List:
		return list(stdout, stderr)
	case c.Compare:
		return c.showComparison(stdout, stderr)
	}
	scenario, err := c.prepare()
	if err != nil {
		fmt.Fprintln(stderr, err)
		fmt.Fprintln(stderr, "loadtest: nothing was started")
		return exitUsage
	}
	defer c.files.close()
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	res, err := c.play(ctx, scenario, stderr)
	if err == nil {
		err = c.show(stdout, res)
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return exitFailed
	}
	if !res.passed() {
		return exitFailed
	}
	return exitPassed
}

func list(stdout, stderr io.Writer) int {
	for _, name := range names() {
		s, err := (&command{Scenario: name}).load(nil, nil)
		if err != nil {
			fmt.Fprintln(stderr, err)
			return exitFailed
		}
		fmt.Fprintf(stdout, "%-16s %6.0f events/s for %-4v %s\n", name, s.Rate(), s.Duration, s.About)
	}
	return exitPassed
}

func (c *command) showComparison(stdout, stderr io.Writer) int {
	comparison, err := compare(&c.compareOptions)
	if err == nil {
		err = c.files.open(c)
	}
	if err == nil {
		defer c.files.close()
		err = c.show(stdout, comparison)
	}
	if err != nil {
		fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return exitUsage
	}
	return exitPassed
}

// prepare looks at all that the command line names, before anything is started.
func (c *command) prepare() (*Scenario, error) {
	rate, duration := c.Rate, c.Duration
	if c.Ramp {
		rate, duration = new(min(c.From, c.most())), new(warmUp+c.Hold)
	}
	s, err := c.load(rate, duration)
	if err == nil {
		err = c.lookForPushd()
	}
	if err == nil {
		err = c.files.open(c)
	}
	return s, err
}

// load is the scenario of the command line, at another rate and of another duration where these are given.
func (c *command) load(rate *float64, duration *time.Duration) (*Scenario, error) {
	file, content, err := read(c.Scenario)
	if err != nil {
		return nil, err
	}
	s, err := parse(file, content, func(s *Scenario) {
		if c.Ramp {
			s.bare()
		}
		if duration != nil {
			s.Duration = *duration
		}
		if rate != nil {
			s.scale(*rate)
		}
		if c.Backlog != nil {
			s.pileUp(*c.Backlog)
		}
	})
	if err != nil {
		return nil, err
	}
	if events := s.mean() * s.Duration.Seconds(); len(c.Brokers) == 0 && events > maxEmbedded {
		return nil, fmt.Errorf("%.0f events are more than the %d that the embedded broker holds in memory; name another with --brokers", events, maxEmbedded)
	}
	return s, nil
}

// lookForPushd sees that the binary of --pushd can be run.
func (c *command) lookForPushd() error {
	if c.Pushd == "" {
		return nil
	}
	if _, err := exec.LookPath(c.Pushd); err != nil {
		return fmt.Errorf("--pushd: %s cannot be run: %w; name the daemon's binary, or leave --pushd out to have it built from this checkout", c.Pushd, errors.Unwrap(err))
	}
	return nil
}

// outcome is what was found: of a run, of a ramp, or by comparing two.
type outcome interface {
	passed() bool
	table(io.Writer) error
	page() *page
}

func (c *command) play(ctx context.Context, s *Scenario, stderr io.Writer) (outcome, error) {
	if c.Ramp {
		return c.ramp(ctx, s, stderr)
	}
	r := c.newRun(s, c.chosenSeed(), stderr)
	defer r.progress.end()
	if c.Backlog != nil {
		return r.catchUp(ctx)
	}
	return r.perform(ctx)
}

func (c *command) newRun(s *Scenario, seed uint64, stderr io.Writer) *run {
	return &run{scenario: s, seed: seed, brokers: c.Brokers, pushd: c.Pushd, known: c.Known, log: c.files.log, progress: newProgress(stderr, seconds(s.Duration))}
}

func (c *command) chosenSeed() uint64 {
	if c.Seed == 0 {
		return uint64(time.Now().UnixNano() % 1_000_000)
	}
	return c.Seed
}

// show prints the result, and writes the page of it.
func (c *command) show(w io.Writer, res outcome) error {
	if c.files.report != nil {
		if err := writeReport(c.files.report, res.page()); err != nil {
			return err
		}
	}
	if !c.JSON {
		return res.table(w)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(res)
}
