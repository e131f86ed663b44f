// Package kafkatest brings up a real Apache Kafka on this machine, from its published artifacts and without a container:
// one process that is broker and controller (KRaft), with a listener in the clear and one with TLS and SCRAM.
//
// It needs Java 17 or newer and, the first time, Maven. It is for tests and development; nothing else imports it.
package kafkatest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options of Start; the zero value is good for tests.
type Options struct {
	Port     int       // of the listener in the clear; 0 takes a free one
	SASLPort int       // of the listener with TLS and SCRAM-SHA-512; 0 takes a free one
	Proxy    string    // host:port of a proxy that leads to ProxiedAddr; clients that begin there stay behind it. Empty: there is none
	Dir      string    // where Kafka keeps its data; made where it is missing. Empty means a temporary one that Stop removes
	Output   io.Writer // where the broker's log goes; nil means nowhere
}

// Kafka is a running broker.
type Kafka struct {
	Addr           string // host:port in the clear
	SASLAddr       string // host:port with TLS and SCRAM-SHA-512
	ProxiedAddr    string // host:port in the clear, whose clients are told the address of the proxy; empty where there is none
	CAFile         string // PEM file of the authority that signed the broker's certificate
	User, Password string // for SASLAddr

	java, libs, dir string
	removeDir       bool
	output          io.Writer

	process *process // nil while it is stopped
}

// Start starts a broker and returns when it can be used, some seconds later. It must be stopped; should this process be
// killed, the broker is too (on Linux).
func Start(ctx context.Context, o Options) (_ *Kafka, err error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("kafkatest: java is not installed; Kafka needs 17 or newer; on Debian: apt-get install default-jre-headless maven")
	}
	libs, err := artifacts(ctx)
	if err != nil {
		return nil, fmt.Errorf("kafkatest: %w", err)
	}
	k := &Kafka{User: "pushd", Password: rand.Text(), java: java, libs: libs, dir: o.Dir, output: o.Output}
	if k.output == nil {
		k.output = io.Discard
	}
	if k.dir == "" {
		k.removeDir = true
		if k.dir, err = os.MkdirTemp("", "kafkatest-"); err != nil {
			return nil, fmt.Errorf("kafkatest: %w", err)
		}
	}
	defer func() {
		if err != nil && k.removeDir {
			os.RemoveAll(k.dir)
		}
	}()
	if err := k.configure(ctx, o); err != nil {
		return nil, fmt.Errorf("kafkatest: %w", err)
	}
	if err := k.Restart(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// configure writes what the broker reads at its start, and formats its storage.
func (k *Kafka) configure(ctx context.Context, o Options) error {
	dir, err := filepath.Abs(k.dir)
	if err != nil {
		return err
	}
	k.dir = dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ports, err := freePorts(o.Port, o.SASLPort, 0, 0)
	if err != nil {
		return err
	}
	k.Addr = fmt.Sprintf("127.0.0.1:%d", ports[0])
	k.SASLAddr = fmt.Sprintf("127.0.0.1:%d", ports[1])
	if o.Proxy != "" {
		k.ProxiedAddr = fmt.Sprintf("127.0.0.1:%d", ports[3])
	}
	k.CAFile = filepath.Join(dir, "ca.pem")
	if err := writeCertificates(k.CAFile, filepath.Join(dir, "broker.pem")); err != nil {
		return err
	}
	if err := os.WriteFile(k.properties(), []byte(k.settings(ports[2], o.Proxy)), 0o644); err != nil {
		return err
	}
	id, err := k.tool(ctx, "random-uuid")
	if err != nil {
		return err
	}
	_, err = k.tool(ctx, "format", "--ignore-formatted", "-t", strings.TrimSpace(id), "-c", k.properties(),
		"--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", k.User, k.Password))
	return err
}

func (k *Kafka) properties() string { return filepath.Join(k.dir, "server.properties") }

func (k *Kafka) settings(controllerPort int, proxy string) string {
	listeners, advertised := "", ""
	if proxy != "" {
		listeners, advertised = ",PROXIED://"+k.ProxiedAddr, ",PROXIED://"+proxy
	}
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://%[2]s,SASL_SSL://%[3]s,CONTROLLER://127.0.0.1:%[1]d%[6]s
advertised.listeners=PLAINTEXT://%[2]s,SASL_SSL://%[3]s%[7]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=%[4]s
ssl.keystore.type=PEM
ssl.keystore.location=%[5]s
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
`, controllerPort, k.Addr, k.SASLAddr, filepath.Join(k.dir, "log"), filepath.Join(k.dir, "broker.pem"), listeners, advertised)
}

// tool runs Kafka's storage tool.
func (k *Kafka) tool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, k.java, append([]string{"-cp", filepath.Join(k.libs, "*"), "kafka.tools.StorageTool"}, args...)...)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("StorageTool %s: %w\n%s%s", args[0], err, out, failure.Bytes())
	}
	return string(out), nil
}

// freePorts replaces each 0 by a port that nobody listens on.
func freePorts(ports ...int) ([]int, error) {
	for i, port := range ports {
		if port != 0 {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // only when all are found, or the same would be found again
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// jvm is what Kafka's own start script gives the JVM (bin/kafka-run-class.sh). With half of that heap and the JVM's own choices
// there were 1,300 collections of 8 ms in twenty minutes of measuring, which a measurement of latency shows.
var jvm = []string{"-Xmx1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
	"-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"}

// Restart starts the broker again after Kill or Shutdown, with its data, ports and user.
func (k *Kafka) Restart(ctx context.Context) error {
	if k.process != nil {
		return errors.New("kafkatest: the broker runs")
	}
	cmd := exec.Command(k.java, append(slices.Clone(jvm), "-cp", filepath.Join(k.libs, "*"), "kafka.Kafka", k.properties())...)
	cmd.Dir = k.dir
	p, err := startProcess(ctx, cmd, k.output)
	if err != nil {
		return fmt.Errorf("kafkatest: start Kafka %s: %w", Version, err)
	}
	k.process = p
	return nil
}

// Kill ends the broker as a crash would; Restart starts it again.
func (k *Kafka) Kill() {
	if k.process != nil {
		k.process.end(syscall.SIGKILL)
		k.process = nil
	}
}

// Shutdown ends the broker in order; Restart starts it again.
func (k *Kafka) Shutdown() {
	if k.process != nil {
		k.process.end(syscall.SIGTERM)
		k.process = nil
	}
}

// Stop ends the broker and removes its data, unless a directory was given for it.
func (k *Kafka) Stop() error {
	k.Shutdown()
	if k.removeDir {
		return os.RemoveAll(k.dir)
	}
	return nil
}

// stopLimit is how long a broker may take to end when asked.
const stopLimit = 20 * time.Second

// process is a broker's process.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
}

// startProcess returns when the broker says that it has started.
func startProcess(ctx context.Context, cmd *exec.Cmd, output io.Writer) (*process, error) {
	log := &brokerLog{to: output, started: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	bindLifetime(cmd)
	p := &process{cmd: cmd, gone: make(chan struct{})}
	begun := make(chan error, 1)
	go func() {
		defer close(p.gone)
		// The process is bound to the thread that starts it, so that thread is kept until the process has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		begun <- err
		if err == nil {
			_ = cmd.Wait() // how it ended stands in its log
		}
	}()
	if err := <-begun; err != nil {
		return nil, err
	}
	select {
	case <-log.started:
		return p, nil
	case <-p.gone:
		return nil, fmt.Errorf("the broker ended (%s); the end of its log:\n%s", cmd.ProcessState, log.end())
	case <-ctx.Done():
		p.end(syscall.SIGKILL)
		return nil, fmt.Errorf("%w; the end of its log:\n%s", ctx.Err(), log.end())
	}
}

// end asks the process to end, then insists.
func (p *process) end(how os.Signal) {
	_ = p.cmd.Process.Signal(how) // where it is gone already there is nothing to ask
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-p.gone:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// brokerLog passes a broker's log on, keeps its end, and notices when the broker has started.
type brokerLog struct {
	to      io.Writer
	started chan struct{} // closed at the line that says so

	mu   sync.Mutex // guards what stands below
	last []byte     // the end of what was written
	seen bool       // started is closed
}

func (l *brokerLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, b...)
	if !l.seen && bytes.Contains(l.last, []byte("Kafka Server started")) {
		l.seen = true
		close(l.started)
	}
	if excess := len(l.last) - 4096; excess > 0 {
		l.last = append(l.last[:0], l.last[excess:]...)
	}
	return l.to.Write(b)
}

func (l *brokerLog) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.last)
}
