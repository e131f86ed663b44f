package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"pushd/loadtest/mixture"
	"pushd/loadtest/stage"
)

// watchedLog is a log whose lines the test waits for.
func watchedLog(t *testing.T) (*slog.Logger, func(says string) string) {
	t.Helper()
	reader, writer := io.Pipe()
	t.Cleanup(func() { writer.Close() })
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(reader); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	return slog.New(slog.NewTextHandler(writer, nil)), func(says string) string {
		t.Helper()
		for line := range lines {
			if strings.Contains(line, says) {
				return line
			}
		}
		t.Fatalf("the log ended without %q", says)
		return ""
	}
}

// staged sets a stage for a daemon, and gives it its configuration.
func staged(t *testing.T) (*stage.Stage, Config) {
	t.Helper()
	dir := t.TempDir()
	s, err := stage.Build(dir, mixture.New(mixture.Config{Events: 1, Tenants: 2, Seed: 1}), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, stagedConfig(dir, s)
}

func TestTheDaemonIsReadyWhileItRunsAndStopsWhenTold(t *testing.T) {
	t.Parallel()
	_, cfg := staged(t)
	log, wait := watchedLog(t)
	told, tell := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(told, &cfg, reloading{}, log, func(serving) {}) }()

	line := wait("msg=running")
	address := regexp.MustCompile(`admin=(\S+)`).FindStringSubmatch(line)[1]
	wait("partitions assigned")
	if status, body, _ := get(t, "http://"+address+"/readyz"); status != 200 {
		t.Errorf("/readyz: %d %s", status, body)
	}
	tell()
	wait("msg=stopping")
	wait(`msg="stopped in order" took=`)
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the admin listener is still there")
	}
}

func TestTheRunCommandStopsOnASignal(t *testing.T) {
	reader, writer := io.Pipe()
	defer reader.Close()
	var line struct {
		Run runCmd `cmd:""`
	}
	p := &process{stdout: io.Discard, stderr: writer, getenv: func(string) (string, bool) { return "", false }}
	_, cfg := staged(t)
	command, err := newParser(&line, p, func(int) {}).Parse([]string{
		"run", "--admin.listen=127.0.0.1:0", "--log.format=json", "--kafka.brokers=" + cfg.Kafka.Brokers[0],
		"--tenants.dir=" + cfg.Tenants.Dir, "--store.dir=" + cfg.Store.Dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Run(); writer.Close() }()
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"msg":"running"`) {
			if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestAStartThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := DefaultConfig()
	cfg.Admin.Listen = taken.Addr().String()
	err = serve(context.Background(), &cfg, reloading{}, slog.New(slog.DiscardHandler), func(serving) {})
	if err == nil || !strings.Contains(err.Error(), "address already in use; another pushd runs there") || !strings.Contains(err.Error(), "choose another address with --admin.listen") {
		t.Errorf("without its admin listener: %v", err)
	}
	cfg.Admin.Listen, cfg.Tenants.Dir = "127.0.0.1:0", "testdata/none"
	err = serve(context.Background(), &cfg, reloading{}, slog.New(slog.DiscardHandler), func(serving) {})
	if want := "tenants.dir: testdata/none: there is no such directory"; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("without its tenants: %v", err)
	}
}
