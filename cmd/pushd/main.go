// Command pushd wakes devices: it reads "device D needs to check in" events from Kafka and pushes them through APNs and
// FCM, never losing one, never sending two where one does.
//
// This directory is the shell around the engine: the command line and the configuration (one struct is both), the log,
// the admin listener, signals and the order in which things stop. Each subcommand is a file, and its wiring one straight
// line. Nothing here decides what becomes of an event.
//
// Exit codes: 0 all went well; 1 it failed while running; 2 it was called or configured wrongly, and nothing was started;
// 130 it was interrupted before it could say how it went.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell has it of what Ctrl-C ended
)

// commands is the command line. A command that takes the configuration embeds Settings.
type commands struct {
	Run        runCmd         `cmd:"" help:"Run the daemon."`
	Demo       demoCmd        `cmd:"" help:"Show the whole of it on this machine alone: broker, simulators and daemon in one process."`
	Simulate   simulateCmd    `cmd:"" help:"Run simulators of APNs and FCM and a broker, for a trial of \"pushd run\" by hand."`
	Check      checkConfigCmd `cmd:"" name:"check-config" help:"Tell all that is wrong with the configuration and the tenants' files, before anything starts."`
	Config     configCmd      `cmd:"" help:"Show the configuration in force, or the JSON Schema of its file."`
	Dead       deadCmd        `cmd:"" help:"Look at dead letters, replay or drop them."`
	Guard      guardCmd       `cmd:"" help:"List and release the guards of a running daemon, which hold back dead tokens."`
	Partitions partitionsCmd  `cmd:"" help:"List the partitions that a running daemon stopped for bad records, and let them go on."`
	HashToken  hashTokenCmd   `cmd:"" name:"hash-token" help:"Tell what the feedback of a running daemon calls device tokens."`
	AdminToken adminTokenCmd  `cmd:"" name:"admin-token" help:"Make a token for the admin listener."`
	Version    versionCmd     `cmd:"" help:"Show the version; so does --version."`
	Help       helpCmd        `cmd:"" help:"Show how a command is called; so does its --help."`
}

// process is what a command gets from the world it runs in.
type process struct {
	args   []string // of the command line, without the program's name
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) (string, bool) // as os.LookupEnv

	starts     bool    // the command starts something, if nothing is wrong
	flagFaults []fault // of the settings on the command line that was parsed last
}

// usageError is a fault of whoever called pushd: it ends with exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func run(args []string, stdout, stderr io.Writer) int {
	return runIn(&process{stdin: os.Stdin, stdout: stdout, stderr: stderr, getenv: os.LookupEnv}, args)
}

func runIn(p *process, args []string) int {
	if slices.Equal(args, []string{"--version"}) { // as a flag it would stand in the help of each command
		args = []string{"version"}
	}
	p.args = args
	helped := false // --help was printed; kong goes on after it, and whatever it says then does not matter
	command, err := newParser(&commands{}, p, func(int) { helped = true }).Parse(args)
	p.starts = isToStart(command, err)
	check := checking(err)
	switch {
	case helped:
		return exitOK
	case check != nil:
		return complain(p, check.Run(p))
	case err != nil:
		return complain(p, usageError{inOurWords(err)})
	}
	return complain(p, command.Run())
}

// isToStart says whether a command starts something: of the others nobody asks whether they did.
func isToStart(command *kong.Context, err error) bool {
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		command = parse.Context
	}
	if command == nil || command.Selected() == nil {
		return false
	}
	switch command.Selected().Target.Interface().(type) {
	case runCmd, demoCmd, simulateCmd:
		return true
	}
	return false
}

// newParser builds the command line of a struct of commands. exit is called once --help was printed.
func newParser(commands any, p *process, exit func(int)) *kong.Kong {
	p.flagFaults = nil
	options := append(lenientMappers(func(f fault) { p.flagFaults = append(p.flagFaults, f) }),
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
		if !faulty.told {
			fmt.Fprintln(p.stderr, faulty.Error())
		}
		count := plural(len(faulty.faults), "fault in the configuration", "faults in the configuration")
		if p.starts {
			count = "nothing was started: " + count
		}
		fmt.Fprintln(p.stderr, "pushd: "+count)
		return exitUsage
	}
	fmt.Fprintf(p.stderr, "pushd: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(p.stderr, `pushd: "pushd --help" and "pushd COMMAND --help" show how it is called`)
		return exitUsage
	}
	var interrupted *interruptedError
	if errors.As(err, &interrupted) {
		return exitInterrupted
	}
	return exitFailed
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
