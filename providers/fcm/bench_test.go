package fcm

import (
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/providers"
	"pushd/providers/simulator"
)

// BenchmarkSend sends batches of 100 pushes, with up to 400 under way, to a simulator in the same process. The figures
// are of both sides together; the bench command has them apart.
func BenchmarkSend(b *testing.B) {
	for _, way := range []string{Pipelined, Library} {
		b.Run(way, func(b *testing.B) { benchmarkSend(b, way) })
	}
}

func benchmarkSend(b *testing.B, way string) {
	const batch, underWay = 100, 400
	sim, err := simulator.StartFCM(simulator.FCMConfig{Authority: authority()})
	if err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	cfg := DefaultConfig()
	cfg.Sender, cfg.Endpoint = way, sim.URL()+"/v1"
	cfg.Connection.RootCA = b.TempDir() + "/root.pem"
	if err := authority().WriteCert(cfg.Connection.RootCA); err != nil {
		b.Fatal(err)
	}
	account, err := sim.NewAccount("acme-mdm", nil)
	if err != nil {
		b.Fatal(err)
	}
	credential, err := providers.NewFCMCredential(account.JSON)
	if err != nil {
		b.Fatal(err)
	}
	sender, err := New(cfg, credential, providers.NewMetrics(prometheus.NewRegistry()), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer sender.Close()

	pushes := make([]providers.Push, batch)
	for i := range pushes {
		pushes[i] = push(i)
	}
	room := make(chan struct{}, underWay)
	var answered sync.WaitGroup
	done := func(results []providers.Result) {
		for i := range results {
			if results[i].Outcome != providers.Accepted {
				b.Errorf("%+v", results[i])
			}
			<-room
		}
		answered.Add(-len(results))
	}
	send := func(n int) {
		for n > 0 {
			m := min(n, batch)
			for range m {
				room <- struct{}{}
			}
			answered.Add(m)
			sender.Send(pushes[:m], done)
			n -= m
		}
		answered.Wait()
	}
	send(2000)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	send(b.N)
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/push")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
