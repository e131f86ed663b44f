// Command bench answers one question: how fast is one part, and against what? It measures the senders of pushes against
// what a user would take instead and against the least that the protocol costs, the ledger, the decoder, the queue, and the
// whole daemon from Kafka to an accepted push; all on this machine, in one run, in turns.
//
//	go run ./bench
//	go run ./bench --quick --json
//
// Each thing that is measured is a process of its own, and so are the simulators that it pushes to: the CPU time of a row
// is that of its process alone. docs/performance.md says what each figure means.
//
// Whether the whole daemon holds a rate and loses nothing is the question of the load test.
//
// Exit codes: 0 all was measured; 1 something could not be; 2 it was called wrongly. "go run" makes 1 of both: build
// it to see them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitMeasured = 0
	exitFailed   = 1
	exitUsage    = 2
)

func main() {
	if len(os.Args) > 1 {
		if known, err := serveAs(os.Args[1], os.Stdin, os.Stdout); known {
			if err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s: %v\n", os.Args[1], err)
				os.Exit(exitFailed)
			}
			return
		}
	}
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

func execute(args []string, stdout, stderr io.Writer) int {
	var c command
	helped := false // --help was printed; kong goes on after it, and whatever it says then does not matter
	parser := kong.Must(&c, kong.Name("bench"), kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }),
		kong.Description("How fast is one part, and against what? Measures in turns, and prints medians with spread and ratios."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}))
	_, err := parser.Parse(args)
	switch {
	case helped:
		return exitMeasured
	case err != nil:
		fmt.Fprintf(stderr, "bench: %v\nbench: --help shows how it is called\n", err)
		return exitUsage
	}
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	if err := c.run(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitFailed
	}
	return exitMeasured
}
