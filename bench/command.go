package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"pushd/loadtest/broker"
)

// command is the command line.
type command struct {
	Quick   bool          `help:"The short form, in less than a minute: floor, senders, and the daemon with the embedded broker."`
	JSON    bool          `name:"json" help:"Print one JSON object instead of tables: for each that was measured its pushes_per_second and cpu_us_per_push."`
	Only    []string      `help:"Measure these parts only: ${enum}." enum:"apns,apns-50ms,fcm,daemon,daemon-kafka,daemon-live,daemon-half,ledger,decode,queue" placeholder:"PART,..."`
	Out     string        `help:"Write the tables as a page to this file too, with a description of the machine." placeholder:"FILE.md"`
	Rounds  int           `help:"How often each is measured, in turns; 0: 5, or 3 with --quick." default:"0" placeholder:"N"`
	WarmUp  time.Duration `name:"warm-up" help:"How long each runs before it is measured; 0s: 1s, or 300ms with --quick." default:"0s"`
	Measure time.Duration `help:"How long it is measured then; 0s: 3s, or 800ms with --quick." default:"0s"`
	LiveFor time.Duration `name:"live-for" help:"How long a daemon is measured while events are published; 0s: 60s, or 3s with --quick." default:"0s"`
	Kafka   string        `help:"Address of an Apache Kafka, to measure the daemon with it too, which daemon-kafka, daemon-live and daemon-half do; topics are made there and deleted." env:"KAFKA_ADDR" placeholder:"HOST:PORT"`
	Pushd   string        `help:"The daemon's binary; without it, it is built from this checkout." placeholder:"PATH"`
}

// Validate is called by kong.
func (c *command) Validate() error {
	var faults []error
	if c.Rounds < 0 || c.Rounds > 100 {
		faults = append(faults, fmt.Errorf("--rounds: %d is not between 0 and 100", c.Rounds))
	}
	for _, span := range []struct {
		flag string
		is   time.Duration
	}{{"warm-up", c.WarmUp}, {"measure", c.Measure}, {"live-for", c.LiveFor}} {
		if span.is < 0 || span.is > time.Minute {
			faults = append(faults, fmt.Errorf("--%s: %v is not between 0s and 1m", span.flag, span.is))
		}
	}
	if c.Out != "" {
		if info, err := os.Stat(filepath.Dir(c.Out)); err != nil || !info.IsDir() {
			faults = append(faults, fmt.Errorf("--out: there is no directory %s; make it first", filepath.Dir(c.Out)))
		}
	}
	if c.Pushd != "" {
		if _, err := exec.LookPath(c.Pushd); err != nil {
			faults = append(faults, fmt.Errorf("--pushd: %s cannot be run: %w; name the daemon's binary, or leave it out to have it built from this checkout", c.Pushd, errors.Unwrap(err)))
		}
	}
	for _, name := range kafkaParts {
		if c.Kafka == "" && slices.Contains(c.Only, name) {
			faults = append(faults, fmt.Errorf("--only: %s needs --kafka or KAFKA_ADDR, the address of an Apache Kafka; \"make kafka\" starts one", name))
		}
	}
	if c.Kafka != "" {
		faults = append(faults, c.broker().Validate())
	}
	return errors.Join(faults...)
}

// broker is the one of --kafka.
func (c *command) broker() *broker.Named {
	return &broker.Named{Addresses: []string{c.Kafka}, By: "--kafka or KAFKA_ADDR", OrElse: "name with --only the parts that need none"}
}

// fill puts the defaults in.
func (c *command) fill() {
	rounds, warmUp, measure, live := 5, time.Second, 3*time.Second, time.Minute
	if c.Quick {
		rounds, warmUp, measure, live = 3, 300*time.Millisecond, 800*time.Millisecond, 3*time.Second
	}
	if c.Rounds == 0 {
		c.Rounds = rounds
	}
	if c.WarmUp == 0 {
		c.WarmUp = warmUp
	}
	if c.Measure == 0 {
		c.Measure = measure
	}
	if c.LiveFor == 0 {
		c.LiveFor = live
	}
}

// run measures all that is asked for, and prints it.
func (c *command) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	c.fill()
	dir, err := os.MkdirTemp("", "pushd-bench-")
	if err != nil {
		return fmt.Errorf("make a directory for the benchmark: %w", err)
	}
	l := &lab{command: c, dir: dir, progress: stderr}
	defer func() { err = errors.Join(err, l.close(), os.RemoveAll(dir)) }()
	res, err := l.measureAll(ctx)
	if res == nil {
		return err
	}
	if c.Out != "" {
		err = errors.Join(err, writePage(c.Out, res))
	}
	if c.JSON {
		return errors.Join(err, res.json(stdout))
	}
	return errors.Join(err, res.text(stdout))
}

// writePage writes the result's page, all of it or nothing.
func writePage(path string, res *result) error {
	var page bytes.Buffer
	if err := res.markdown(&page); err != nil {
		return err
	}
	if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("--out: %w; name a file that can be written", err)
	}
	return nil
}
