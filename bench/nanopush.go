package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/micromdm/nanomdm/mdm"
	"github.com/micromdm/nanomdm/push/nanopush"
	"golang.org/x/sync/errgroup"
)

// nanopushCalls is NanoMDM's own sender as NanoMDM calls it: with the pushes of one request to its API, which returns when all
// are answered. Such requests come side by side, as many as the job has connections. nanopush takes a goroutine for each
// push of a call, whatever number of workers it is given, so the job's workers are the pushes of a call.
//
// Its provider knows Apple's address only, and so the transport, which is NanoMDM's otherwise, is led to the simulator.
func nanopushCalls(ctx context.Context, j *job, t *tally) error {
	pair, err := j.Ground.pushCertificate()
	if err != nil {
		return err
	}
	factory := nanopush.NewFactory(nanopush.WithWorkers(j.Workers), nanopush.WithExpiration(time.Hour), nanopush.WithNewClient(func(certificate *tls.Certificate) (*http.Client, error) {
		config, err := j.Ground.tls()
		if err != nil {
			return nil, err
		}
		config.Certificates, config.ServerName = []tls.Certificate{*certificate}, "localhost"
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig, transport.Proxy = config, nil
		var dialer net.Dialer
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, j.Ground.APNs)
		}
		client := &http.Client{Transport: transport}
		return client, nanopush.ForceHTTP2(client)
	}))
	provider, err := factory.NewPushProvider(&pair)
	if err != nil {
		return err
	}
	call := func(first uint64, size int) error {
		pushes := make([]*mdm.Push, size)
		for i := range pushes {
			pushes[i] = &mdm.Push{PushMagic: magic, Topic: topic}
			if err := pushes[i].SetTokenString(apnsToken(first + uint64(i))); err != nil {
				return err
			}
		}
		responses, err := provider.Push(ctx, pushes)
		if err != nil {
			return err
		}
		for _, response := range responses {
			if response.Err != nil {
				return fmt.Errorf("nanopush: %w", response.Err)
			}
		}
		t.accept(int64(len(responses)))
		return nil
	}
	if err := call(1<<59, 1); err != nil { // opens the connection: else each of the first pushes would open one
		return unlessEnded(ctx, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for caller := range j.Connections {
		group.Go(func() error {
			for n := uint64(caller) << 40; ctx.Err() == nil; n += uint64(j.Workers) {
				if err := call(n, j.Workers); err != nil {
					return unlessEnded(ctx, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}
