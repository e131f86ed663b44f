package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sideshow/apns2"
	"golang.org/x/net/http2"
	"golang.org/x/sync/errgroup"
)

// apns2Loop is apns2 as its README has it used: a client per connection, with the transport it makes itself, and goroutines
// that call Push and wait. That transport obeys the server's limit of streams.
func apns2Loop(ctx context.Context, j *job, t *tally) error {
	clients := make([]*apns2.Client, j.Connections)
	for i := range clients {
		pair, err := j.Ground.pushCertificate()
		if err != nil {
			return err
		}
		clients[i] = apns2.NewClient(pair)
		clients[i].Host = "https://" + j.Ground.APNs
		verify, err := j.Ground.tls()
		if err != nil {
			return err
		}
		//lint:ignore SA1019 it is the transport that apns2 makes
		clients[i].HTTPClient.Transport.(*http2.Transport).TLSClientConfig.RootCAs = verify.RootCAs
	}
	return eachWorker(ctx, j, t, func(worker int, n uint64) error {
		response, err := clients[worker%len(clients)].PushWithContext(ctx, &apns2.Notification{
			DeviceToken: apnsToken(n),
			Topic:       topic,
			PushType:    apns2.PushTypeMDM,
			Priority:    apns2.PriorityHigh,
			Expiration:  time.Now().Add(time.Hour),
			Payload:     []byte(`{"mdm":"` + magic + `"}`),
		})
		if err == nil && !response.Sent() {
			err = fmt.Errorf("apns2: %d %s", response.StatusCode, response.Reason)
		}
		return err
	})
}

// eachWorker has the job's workers call push, with a token's number, until ctx ends or a push fails.
func eachWorker(ctx context.Context, j *job, t *tally, push func(worker int, n uint64) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for worker := range j.Workers {
		group.Go(func() error {
			for n := uint64(worker) << 40; ctx.Err() == nil; n++ {
				if err := push(worker, n); err != nil {
					return unlessEnded(ctx, err)
				}
				t.accept(1)
			}
			return nil
		})
	}
	return group.Wait()
}
