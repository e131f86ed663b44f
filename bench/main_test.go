package main

import (
	"bytes"
	"strings"
	"testing"
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
		{[]string{"--pushd=/nowhere/pushd"}, exitUsage, "--pushd: /nowhere/pushd cannot be run"},
	} {
		var stdout, stderr bytes.Buffer
		code := execute(c.args, &stdout, &stderr)
		if said := stdout.String() + stderr.String(); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%v: exit code %d, %s", c.args, code, said)
		}
	}
}

func TestTheQuickFormHasWhatItPromises(t *testing.T) {
	t.Parallel()
	l := &lab{command: &command{Quick: true}}
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
