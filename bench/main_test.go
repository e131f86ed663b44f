package main

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAWrongCallStartsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, exitMeasured, "--quick"},
		{[]string{"--rounds=-1"}, exitUsage, "--rounds: -1 is not between 0 and 100"},
		{[]string{"--measure=2h"}, exitUsage, "--measure: 2h0m0s is not between 0s and 1m"},
		{[]string{"--nonsense"}, exitUsage, "--help shows how it is called"},
		{[]string{"--only=apns,nothing"}, exitUsage, "nothing"},
		{[]string{"--out=/nowhere/at/all.md"}, exitUsage, "--out: there is no directory /nowhere/at"},
		{[]string{"--kafka=", "--only=daemon,daemon-kafka"}, exitUsage, "--only: daemon-kafka needs --kafka or KAFKA_ADDR"},
		{[]string{"--kafka=", "--only=daemon-live,daemon-half"}, exitUsage, "--only: daemon-half needs --kafka or KAFKA_ADDR"},
		{[]string{"--kafka=nohost", "--only=daemon-kafka"}, exitUsage, "--kafka or KAFKA_ADDR: \"nohost\" is not host:port"},
		{[]string{"--pushd=/nowhere/pushd"}, exitUsage, "--pushd: /nowhere/pushd cannot be run"},
	} {
		var stdout, stderr bytes.Buffer
		code := execute(c.args, &stdout, &stderr)
		if said := stdout.String() + stderr.String(); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%v: exit code %d, %s", c.args, code, said)
		}
	}
}

func TestABrokerIsLookedForBeforeAllElse(t *testing.T) {
	t.Parallel()
	for _, only := range [][]string{nil, {"daemon-half"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		var said strings.Builder
		l := &lab{command: &command{Kafka: "127.0.0.1:1", Only: only}, progress: &said}
		res, err := l.measureAll(ctx)
		if res != nil || err == nil || !strings.Contains(err.Error(), "no broker answers at 127.0.0.1:1, given by --kafka or KAFKA_ADDR, within") {
			t.Errorf("only %v: %v, %v", only, res, err)
		}
		if said.String() != "looking for the broker at 127.0.0.1:1\n" {
			t.Errorf("only %v: it goes on:\n%s", only, &said)
		}
	}
}

func TestABrokerIsNeededForItsPartsOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command command
		says    string
	}{
		{command{}, "daemon-kafka, daemon-live, daemon-half are left out: they need --kafka or KAFKA_ADDR\n"},
		{command{Quick: true}, ""},
		{command{Quick: true, Kafka: "127.0.0.1:1"}, ""},
		{command{Only: []string{"apns"}, Kafka: "127.0.0.1:1"}, ""},
	} {
		var said strings.Builder
		l := &lab{command: &c.command, progress: &said}
		if err := l.lookForKafka(t.Context()); err != nil || said.String() != c.says {
			t.Errorf("%+v: %q, %v", c.command, &said, err)
		}
	}
}

func TestTheQuickFormHasWhatItPromises(t *testing.T) {
	t.Parallel()
	l := &lab{command: &command{Quick: true, Kafka: "127.0.0.1:9092"}}
	var parts []string
	for _, p := range l.parts() {
		parts = append(parts, p.name)
	}
	if got, want := strings.Join(parts, " "), "apns fcm daemon"; got != want {
		t.Errorf("it has %s, want %s", got, want)
	}
	var keys []string
	for _, r := range []rivals{l.apnsAtOnce(), l.fcm()} {
		for _, rival := range r.of {
			if contenders[rival.contender] == nil {
				t.Errorf("there is no contender %s", rival.contender)
			}
			keys = append(keys, rival.contender+r.suffix)
		}
	}
	if got, want := strings.Join(keys, " "), "floor pipelined apns2 fcm_pipelined fcm_sdk"; got != want {
		t.Errorf("it has %s, want %s", got, want)
	}
}

func TestOnlyNamesEachPart(t *testing.T) {
	t.Parallel()
	l := &lab{command: &command{Kafka: "127.0.0.1:9092"}}
	names := []string{}
	for _, p := range l.parts() {
		names = append(names, p.name)
	}
	for _, b := range goBenchmarks {
		names = append(names, b.name)
	}
	l.Kafka = ""
	if parts := l.parts(); !slices.Equal(names[len(parts):len(parts)+len(kafkaParts)], kafkaParts) {
		t.Errorf("without Kafka there are %d parts, of %s", len(parts), names)
	}
	field, _ := reflect.TypeFor[command]().FieldByName("Only")
	if got, want := field.Tag.Get("enum"), strings.Join(names, ","); got != want {
		t.Errorf("--only takes %s, and there are %s", got, want)
	}
	l.Only = []string{"fcm", "queue"}
	if parts := l.parts(); len(parts) != 1 || parts[0].name != "fcm" || !l.wanted("queue") || l.wanted("ledger") {
		t.Errorf("--only fcm,queue has %d contests", len(parts))
	}
}
