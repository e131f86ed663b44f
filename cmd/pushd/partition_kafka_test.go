//go:build kafka

package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"pushd/loadtest/stage"
)

var assigned = regexp.MustCompile(`^time=(\S+) .*msg="kafka: partitions assigned".* partitions="?\[([0-9 ]*)\]`)

// assignment is when a daemon was last given partitions, and which.
func (p *play) assignment(c *child) (at time.Time, partitions map[int]bool) {
	p.t.Helper()
	found := assigned.FindStringSubmatch(c.said("kafka: partitions assigned"))
	if found == nil {
		p.t.Fatalf("%s was given no partitions", c.name)
	}
	at, err := time.Parse(time.RFC3339, found[1])
	if err != nil {
		p.t.Fatal(err)
	}
	partitions = make(map[int]bool)
	for _, id := range strings.Fields(found[2]) {
		var n int
		if _, err := fmt.Sscan(id, &n); err != nil {
			p.t.Fatal(err)
		}
		partitions[n] = true
	}
	return at, partitions
}

// acceptedIn is how many pushes for devices of some partitions were accepted in the time before an instant.
func (p *play) acceptedIn(partitions map[int]bool, before time.Time, span time.Duration) int {
	all := make([]int, stage.Partitions)
	for i := range all {
		all[i] = i
	}
	n := 0
	seen := make(map[string]bool)
	for _, r := range p.load.Records {
		if seen[r.Token] || !partitions[(kafka.Murmur2Balancer{}).Balance(kafka.Message{Key: r.Key}, all...)] {
			continue
		}
		seen[r.Token] = true
		for _, at := range p.stage.Receipts(r.Token) {
			if age := before.Sub(at); age >= 0 && age <= span {
				n++
			}
		}
	}
	return n
}
