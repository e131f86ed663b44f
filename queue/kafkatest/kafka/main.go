// Command kafka runs a real Apache Kafka on this machine until it is interrupted, and prints where it is, in lines that a
// shell can read. It fetches Kafka the first time.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"pushd/queue/kafkatest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var o kafkatest.Options
	flag.IntVar(&o.Port, "port", 9092, "port of the listener in the clear; 0 takes a free one")
	flag.IntVar(&o.SASLPort, "sasl-port", 9093, "port of the listener with TLS and SCRAM-SHA-512; 0 takes a free one")
	verbose := flag.Bool("v", false, "show the broker's log")
	flag.Parse()
	o.Output = io.Discard
	if *verbose {
		o.Output = os.Stderr
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	fmt.Fprintf(os.Stderr, "starting Apache Kafka %s\n", kafkatest.Version)
	k, err := kafkatest.Start(ctx, o)
	if err != nil {
		return err
	}
	for _, v := range k.Env() {
		fmt.Printf("export %s\n", v)
	}
	fmt.Fprintln(os.Stderr, "running; end it with Ctrl-C, its data are gone then")
	<-ctx.Done()
	return k.Stop()
}
