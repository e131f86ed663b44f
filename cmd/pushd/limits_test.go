package main

import (
	"math"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTheMemoryLimitIsTheLeastOfTheControlGroupAndThoseAboveIt(t *testing.T) {
	t.Parallel()
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		want  int64
		ok    bool
	}{
		{"its own", fstest.MapFS{
			"proc/self/cgroup": text("0::/system.slice/pushd.service\n"),
			"sys/fs/cgroup/system.slice/pushd.service/memory.max": text("1073741824\n"),
			"sys/fs/cgroup/system.slice/memory.max":               text("max\n"),
		}, 1 << 30, true},
		{"one above", fstest.MapFS{
			"proc/self/cgroup":             text("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": text("2147483648\n"),
			"sys/fs/cgroup/a/memory.max":   text("1073741824\n"),
		}, 1 << 30, true},
		{"in a container", fstest.MapFS{
			"proc/self/cgroup":         text("0::/\n"),
			"sys/fs/cgroup/memory.max": text("536870912\n"),
		}, 512 << 20, true},
		{"none", fstest.MapFS{
			"proc/self/cgroup":         text("0::/\n"),
			"sys/fs/cgroup/memory.max": text("max\n"),
		}, math.MaxInt64, false},
		{"version 1", fstest.MapFS{"proc/self/cgroup": text("4:memory:/x\n")}, math.MaxInt64, false},
		{"no control groups", fstest.MapFS{}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := cgroupMemory(c.files); got != c.want || ok != c.ok {
				t.Errorf("limit is %d, %v; want %d, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestTooFewOpenFilesAreTold(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	if err := checkOpenFiles(&cfg, 1); err != nil {
		t.Error(err)
	}
	cfg.APNs.Connections = 100
	if err := checkOpenFiles(&cfg, 1<<40); err == nil || !strings.Contains(err.Error(), "LimitNOFILE=") {
		t.Errorf("any number of files is allowed: %v", err)
	}
}

func TestTheMemoryNeededFollowsTheBounds(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	before := memoryNeed(&cfg)
	if before < 500<<20 || before > 4<<30 {
		t.Errorf("the defaults need %d bytes", before)
	}
	cfg.Engine.Dedupe.MaxEntries *= 2
	if after := memoryNeed(&cfg); after <= before {
		t.Errorf("twice the event ids need %d bytes, not more than %d", after, before)
	}
}
