package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/segmentio/kafka-go"
)

// screen is an output whose text a test waits for.
type screen struct {
	mu    sync.Mutex
	grown *sync.Cond
	text  strings.Builder // guarded by mu
}

func newScreen() *screen {
	s := &screen{}
	s.grown = sync.NewCond(&s.mu)
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grown.Broadcast()
	return s.text.Write(p)
}

// await returns when the text matches.
func (s *screen) await(pattern string) {
	re := regexp.MustCompile(pattern)
	s.mu.Lock()
	defer s.mu.Unlock()
	for !re.MatchString(s.text.String()) {
		s.grown.Wait()
	}
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// simulation is "pushd simulate" in this process.
type simulation struct {
	cmd    *simulateCmd
	screen *screen
	hangup chan<- os.Signal
	stop   func() error
}

// anywhere lets everything listen on free ports.
func anywhere(dir string) *simulateCmd {
	return &simulateCmd{Dir: dir, APNs: "127.0.0.1:0", FCM: "127.0.0.1:0", FCMToken: "127.0.0.1:0", Broker: "127.0.0.1:0", Tenants: 1}
}

func startSimulation(t *testing.T, cmd *simulateCmd) *simulation {
	t.Helper()
	hangup := make(chan os.Signal)
	s := &simulation{cmd: cmd, screen: newScreen(), hangup: hangup}
	ctx, tell := context.WithCancel(context.Background())
	ended, runs := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- cmd.simulate(ctx, &process{stdout: s.screen, stderr: io.Discard}, hangup, func() { close(runs) })
	}()
	s.stop = sync.OnceValue(func() error { tell(); return <-ended })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("pushd simulate ended with %v", err)
		}
	})
	select {
	case <-runs:
	case err := <-ended:
		ended <- nil
		t.Fatalf("pushd simulate: %v", err)
	}
	return s
}

// config is the configuration that it has written.
func (s *simulation) config(t *testing.T) *Config {
	t.Helper()
	cfg := parse(t, nil, "--config", filepath.Join(s.cmd.Dir, configName)).Config
	cfg.Admin.Listen = "127.0.0.1:0" // the default is taken where somebody runs a pushd
	return &cfg
}

// startDaemon is "pushd run" of its configuration.
func (s *simulation) startDaemon(t *testing.T) (stop func()) {
	t.Helper()
	cfg := s.config(t)
	ctx, tell := context.WithCancel(context.Background())
	ended, runs := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- serve(ctx, cfg, reloading{}, slog.New(slog.DiscardHandler), func(serving) { close(runs) })
	}()
	select {
	case <-runs:
	case err := <-ended:
		t.Fatalf("pushd run: %v", err)
	}
	return sync.OnceFunc(func() {
		tell()
		if err := <-ended; err != nil {
			t.Errorf("pushd run ended with %v", err)
		}
	})
}

// publish publishes an event of acme by hand.
func (s *simulation) publish(t *testing.T, device, value string) {
	t.Helper()
	s.publishFor(t, "acme", device, value)
}

func (s *simulation) publishFor(t *testing.T, tenant, device, value string) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	w := &kafka.Writer{
		Addr: kafka.TCP(s.config(t).Kafka.Brokers...), Topic: "pushd.checkin", Balancer: kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll, BatchSize: 1, Transport: transport,
	}
	defer w.Close()
	if err := w.WriteMessages(context.Background(), kafka.Message{Key: []byte(tenant + "/" + device), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
}

func TestATrialShowsEveryPushAndEveryRefusalAndOnlyTheBeginningOfTokens(t *testing.T) {
	t.Parallel()
	s := startSimulation(t, anywhere(filepath.Join(t.TempDir(), "trial")))
	defer s.startDaemon(t)()
	tokens := map[string]string{
		"apple":  strings.Repeat("aa11bb22", 8),
		"google": "fGx3kQ:APA91bHun4MxP5egoKMwt2KZFBaFUH",
		"wrong":  strings.Repeat("cc33dd44", 26), // longer than any of Apple's
	}
	s.publish(t, "apple-1", `{"provider":"apns","push_magic":"magic-1","token":"`+tokens["apple"]+`"}`)
	s.publish(t, "google-1", `{"provider":"fcm","token":"`+tokens["google"]+`"}`)
	s.publish(t, "apple-2", `{"provider":"apns","push_magic":"magic-2","token":"`+tokens["wrong"]+`"}`)
	s.screen.await(`(?m)^\d\d:\d\d:\d\d\.\d{3}  apns  accepted  com\.apple\.mgmt\.External\.acme  token aa11bb22…  push 1$`)
	s.screen.await(`(?m)^\d\d:\d\d:\d\d\.\d{3}  fcm   accepted  acme-trial  token fGx3kQ:A…  push 1$`)
	s.screen.await(`(?m)^\d\d:\d\d:\d\d\.\d{3}  apns  refused   400 BadDeviceToken$`)

	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	shown := s.screen.String()
	if end := "\napns       1 accepted\napns       1 refused: 400 BadDeviceToken\nfcm        1 accepted\n"; !strings.HasSuffix(shown, end) {
		t.Errorf("it does not end with the sum:\n%s", shown)
	}
	for name, token := range tokens {
		if strings.Contains(shown, token[:9]) {
			t.Errorf("too much of the token of %s is shown:\n%s", name, shown)
		}
	}
}

func TestATrialGoesOnWhereItWasStopped(t *testing.T) {
	t.Parallel()
	s := startSimulation(t, anywhere(t.TempDir()))
	s.publish(t, "device-1", `{"provider":"apns","push_magic":"m","token":"aa11bb22cc33dd44"}`)
	s.publish(t, "device-2", `{"provider":"fcm","token":"fGx3kQ:APA91b"}`)
	cfg := s.config(t)
	_, account, found := strings.Cut(readFile(t, s.cmd.Dir, "tenants/acme.json"), `"token_uri": "https://`)
	if !found {
		t.Fatal("the service account names no token endpoint")
	}
	token, _, _ := strings.Cut(account, "/")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, s.cmd.Dir)

	again := &simulateCmd{
		Dir: s.cmd.Dir, APNs: net.JoinHostPort(cfg.APNs.Host, strconv.Itoa(cfg.APNs.Port)), FCMToken: token,
		FCM: strings.TrimSuffix(strings.TrimPrefix(cfg.FCM.Endpoint, "https://"), "/v1"), Broker: cfg.Kafka.Brokers[0],
		Tenants: 1,
	}
	s = startSimulation(t, again)
	defer s.startDaemon(t)()
	s.screen.await("apns  accepted  .*  token aa11bb22…  push 1\n")
	s.screen.await("fcm   accepted  .*  token fGx3kQ…  push 1\n")
	for name, was := range before {
		if is := readFile(t, s.cmd.Dir, name); is != was {
			t.Errorf("%s was written again", name)
		}
	}
}

func TestATrialIsReadByItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "trial")
	startSimulation(t, anywhere(dir))
	for _, below := range []string{".", "tenants", "kafka"} {
		if info, err := os.Stat(filepath.Join(dir, below)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", below, info.Mode(), err)
		}
	}
	for name := range contents(t, dir) {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestATrialAtOtherAddressesThanItsFilesNameIsRefused(t *testing.T) {
	t.Parallel()
	first := startSimulation(t, anywhere(t.TempDir()))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	says := func(want string) {
		t.Helper()
		err := anywhere(first.cmd.Dir).simulate(context.Background(), &process{stdout: io.Discard, stderr: io.Discard}, nil, func() {
			t.Error("it runs")
		})
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("it ended with %v; want %q and a usage error", err, want)
		}
	}
	says("give --fcm-token as before")
	if err := os.Remove(filepath.Join(first.cmd.Dir, "tenants/acme.json")); err != nil {
		t.Fatal(err)
	}
	says(configName + ":16: providers.apns.port is ")
}

func TestATrialWithAKafkaOfItsOwnStartsNoBroker(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a broker here could not listen
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cmd := anywhere(t.TempDir())
	cmd.Broker, cmd.NoBroker = listener.Addr().String(), true
	s := startSimulation(t, cmd)
	if cfg := s.config(t); len(cfg.Kafka.Brokers) != 1 || cfg.Kafka.Brokers[0] != cmd.Broker || !cfg.Kafka.CreateTopics {
		t.Errorf("the configuration is for %v, create_topics is %v", cfg.Kafka.Brokers, cfg.Kafka.CreateTopics)
	}
	if _, err := os.Stat(filepath.Join(cmd.Dir, "kafka")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a broker's directory: %v", err)
	}
}

func TestATrialListensOnThisMachineOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"--apns=0.0.0.0:2197"}, {"--fcm=:8443"}, {"--fcm-token=192.0.2.1:8444"}, {"--broker=kafka.example:9092"},
		{"--apns=127.0.0.1"}, {"--no-broker", "--broker=kafka.example"}, {"--latency=-1s"}, {"--latency=2m"}, {"--tenants=0"}, {"--tenants=10001"},
	} {
		got := pushd(nil, append([]string{"simulate", "--dir=" + dir}, args...)...)
		flag, _, _ := strings.Cut(args[len(args)-1], "=")
		if got.code != exitUsage || !strings.Contains(got.stderr, flag+": ") {
			t.Errorf("%v: exit code %d, %s", args, got.code, got.stderr)
		}
	}
	if left := contents(t, dir); len(left) > 0 {
		t.Errorf("something was written: %v", left)
	}
}

func TestATrialThatCannotBeginSaysWhatToDo(t *testing.T) {
	t.Parallel()
	got := pushd(nil, "simulate", "--dir=simulate.go")
	if got.code != exitUsage || !strings.Contains(got.stderr, "--dir: simulate.go is a file; name a directory") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := []string{"simulate", "--apns=127.0.0.1:0", "--fcm=127.0.0.1:0", "--fcm-token=127.0.0.1:0", "--broker=127.0.0.1:0"}
	for flag, want := range map[string]string{"--apns": "--apns", "--fcm": "--fcm or --fcm-token", "--broker": "--broker"} {
		got := pushd(nil, append(free, "--dir="+t.TempDir(), flag+"="+taken.Addr().String())...)
		if got.code != exitFailed || !strings.Contains(got.stderr, "stop it, or choose another address with "+want+"\n") {
			t.Errorf("%s, exit code %d: %s", flag, got.code, got.stderr)
		}
	}
}

func TestTheSimulateCommandEndsOnASignal(t *testing.T) {
	var line struct {
		Simulate simulateCmd `cmd:""`
	}
	s := newScreen()
	p := &process{stdout: s, stderr: io.Discard, getenv: func(string) (string, bool) { return "", false }}
	command, err := newParser(&line, p, func(int) {}).Parse([]string{
		"simulate", "--dir", t.TempDir(), "--apns=127.0.0.1:0", "--fcm=127.0.0.1:0", "--fcm-token=127.0.0.1:0", "--broker=127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Run() }()
	s.await("Ctrl-C ends it")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// contents are the trial's files, but for what the broker and the daemon keep.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*", "tenants/*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err != nil {
				t.Fatal(err)
			} else if info.Mode().IsRegular() {
				name, _ := filepath.Rel(dir, path)
				all[name] = readFile(t, dir, name)
			}
		}
	}
	return all
}

func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
