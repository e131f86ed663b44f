package http2

import (
	"bufio"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
)

// apart is set where this program is the server of a test of the same program, which measures itself.
const apart = "PUSHD_HTTP2_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(apart) != "" {
		serveApart()
		return
	}
	goleak.VerifyTestMain(descriptors.Checked(m))
}

// serveApart says where it listens, and serves until its input ends.
func serveApart() {
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.EnableHTTP2 = true
	s.StartTLS()
	fmt.Println(s.Listener.Addr())
	io.Copy(io.Discard, os.Stdin)
}

// startApart starts net/http's server in a process of its own.
func startApart(t testing.TB) (address string, roots *x509.CertPool) {
	_, roots = goServer(t, nil) // whose certificate all of httptest's have
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), apart+"=yes")
	input, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { input.Close(); server.Wait() })
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), roots
}

// TestAnIdleConnectionIsSmall: ten thousand tenants have one each. It had much to do, and rests now; what it keeps is TLS's
// and ours, heap and stacks together.
func TestAnIdleConnectionIsSmall(t *testing.T) { // not parallel: it measures the process
	if testing.Short() || underRace() {
		t.Skip("it opens 200 connections, and the race detector's memory is not ours")
	}
	const connections, most = 200, 64 << 10
	address, roots := startApart(t)
	budget, metrics := NewBudget(10*connections), newMetrics()
	clients := make([]*real, connections)
	before := memory()
	for i := range clients {
		c := connectTo(t, func() string { return address }, roots, 1, 1000, metrics)
		c.options.Budget, c.options.RequestTimeout = budget, 4*time.Second
		clients[i] = c
		c.ask(t, 200, interopRequest, interopAnswer)
		c.answers = nil
	}
	for deadline := time.Now().Add(patience); !budget.allRest(connections); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the clients do not come to rest")
		}
	}
	each := (memory() - before) / connections
	t.Logf("an idle connection costs %d bytes", each)
	if each > most {
		t.Errorf("an idle connection costs %d bytes, more than %d", each, most)
	}
	runtime.KeepAlive(clients)
}

// underRace says whether this program has the race detector in it.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// allRest says whether so many clients rest.
func (b *Budget) allRest(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.resting.Len() == n
}

// memory is what is in use, of heap and stacks, after the garbage is gone.
func memory() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
