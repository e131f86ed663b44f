// Command pushd wakes devices: it reads "device D needs to check in" events from Kafka and pushes them through APNs and
// FCM, never losing one, never sending two where one does.
//
// This directory is the shell around the engine: the command line and the configuration (one struct is both), the log,
// the admin listener, signals and the order in which things stop. Each subcommand is a file, and its wiring one straight
// line. Nothing here decides what becomes of an event.
//
// Exit codes: 0 all went well; 1 it failed while running; 2 it was called or configured wrongly, and nothing was started.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands is the command line. A command that takes the configuration embeds Settings.
type commands struct {
	Run      runCmd      `cmd:"" help:"Run the daemon."`
	Demo     demoCmd     `cmd:"" help:"Show the whole of it on this machine alone: broker, simulators and daemon in one process."`
	Simulate simulateCmd `cmd:"" help:"Run simulators of APNs and FCM and a broker, for a trial of \"pushd run\" by hand."`
	Config   configCmd   `cmd:"" help:"Check the configuration, and show what is in force and where each setting comes from."`
	Version  versionCmd  `cmd:"" help:"Show the version."`
}

// process is what a command gets from the world it runs in.
type process struct {
	stdout io.Writer
	stderr io.Writer
	getenv func(string) (string, bool) // as os.LookupEnv
}

// usageError is a fault of whoever called pushd: it ends with exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func run(args []string, stdout, stderr io.Writer) int {
	return runIn(&process{stdout: stdout, stderr: stderr, getenv: os.LookupEnv}, args)
}

func runIn(p *process, args []string) int {
	helped := false // --help was printed; kong goes on after it, and whatever it says then does not matter
	command, err := newParser(&commands{}, p, func(int) { helped = true }).Parse(args)
	switch {
	case helped:
		return exitOK
	case err != nil:
		return complain(p, usageError{err})
	}
	return complain(p, command.Run())
}

// newParser builds the command line of a struct of commands. exit is called once --help was printed.
func newParser(commands any, p *process, exit func(int)) *kong.Kong {
	options := append(mappers(),
		kong.Name("pushd"),
		kong.Description("Wakes devices through APNs and FCM for the check-in events of a Kafka topic. At least once, merged, paced."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(exit),
		kong.Bind(p),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.AutoGroup(groupOf),
	)
	return kong.Must(commands, options...)
}

// complain writes what went wrong and returns the exit code that says so.
func complain(p *process, err error) int {
	if err == nil {
		return exitOK
	}
	var faulty *faultsError
	if errors.As(err, &faulty) {
		fmt.Fprintln(p.stderr, faulty.Error())
		fmt.Fprintf(p.stderr, "pushd: nothing was started: %s\n", plural(len(faulty.faults), "fault in the configuration", "faults in the configuration"))
		return exitUsage
	}
	fmt.Fprintf(p.stderr, "pushd: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(p.stderr, `pushd: "pushd --help" and "pushd COMMAND --help" show how it is called`)
		return exitUsage
	}
	return exitFailed
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
