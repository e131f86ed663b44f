package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// partitionsCmd is "pushd partitions": the partitions of a running daemon that are stopped, because nearly all of their
// records are bad.
type partitionsCmd struct {
	List    partitionsListCmd    `cmd:"" help:"List the partitions that are stopped because nearly all of their records are bad."`
	Proceed partitionsProceedCmd `cmd:"" help:"Let stopped partitions go on: what is bad on them becomes dead letters."`
}

// partitionsListCmd is "pushd partitions list".
type partitionsListCmd struct {
	JSON bool `name:"json" help:"One JSON object per line."`
	Settings
}

// Help is shown by "pushd partitions list --help".
func (partitionsListCmd) Help() string {
	return `BAD is how many of the newest records that were read are bad. WAITING is how long ago the first record that is not read any more
was published. The reasons are in "pushd dead list".`
}

func (c *partitionsListCmd) Run(p *process) error {
	daemon, err := findRemote(c.Store.Dir)
	if err != nil {
		return err
	}
	var stopped []partitionAnswer
	if err := daemon.get("/control/partitions", &stopped); err != nil {
		return err
	}
	if c.JSON {
		return jsonLines(p.stdout, stopped)
	}
	if len(stopped) == 0 {
		_, err := fmt.Fprintln(p.stdout, "no partition is stopped")
		return err
	}
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PARTITION\tBAD\tWAITING")
	for _, s := range stopped {
		waiting := "-"
		if !s.WaitingSince.IsZero() {
			waiting = time.Since(s.WaitingSince).Round(time.Second).String()
		}
		fmt.Fprintf(table, "%d\t%d of %d\t%s\n", s.Partition, s.Bad, s.Of, waiting)
	}
	return table.Flush()
}

// partitionsProceedCmd is "pushd partitions proceed".
type partitionsProceedCmd struct {
	Partitions []int32 `arg:"" optional:"" help:"The partitions; all that are stopped where none is named."`
	JSON       bool    `name:"json" help:"As one JSON object."`
	Settings
}

// Help is shown by "pushd partitions proceed --help".
func (partitionsProceedCmd) Help() string {
	return `Exit code 1 if any that was named was not stopped, or is not assigned to this daemon: the others that were named are read on.`
}

func (c *partitionsProceedCmd) Run(p *process) error {
	daemon, err := findRemote(c.Store.Dir)
	if err != nil {
		return err
	}
	form := url.Values{}
	for _, partition := range c.Partitions {
		form.Add("partition", strconv.Itoa(int(partition)))
	}
	var answer proceedAnswer
	if err := daemon.post("/control/partitions/proceed", form, &answer); err != nil {
		return err
	}
	switch {
	case c.JSON:
		err = json.NewEncoder(p.stdout).Encode(answer)
	case len(answer.ReadOn) > 0:
		_, err = fmt.Fprintf(p.stdout, "read on: %v\n", answer.ReadOn)
	case len(c.Partitions) == 0:
		_, err = fmt.Fprintln(p.stdout, "no partition is stopped")
	}
	return errors.Join(err, answer.fault())
}

// fault says which of the named partitions were not read on, and why.
func (a *proceedAnswer) fault() error {
	var why []string
	for _, partition := range a.NotStopped {
		why = append(why, fmt.Sprintf("%d is not stopped", partition))
	}
	for _, partition := range a.NotAssigned {
		why = append(why, fmt.Sprintf("%d is not assigned to this daemon", partition))
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("not all that were named are read on: %s; \"pushd partitions list\" has those that are stopped", strings.Join(why, ", "))
}
