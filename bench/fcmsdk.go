package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	firebase "firebase.google.com/go/v4"
	"firebase.google.com/go/v4/messaging"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

// fcmScope is what an access token is asked for.
const fcmScope = "https://www.googleapis.com/auth/firebase.messaging"

// adminSDK is the Firebase Admin SDK as its documentation has it used: one client, and goroutines that call Send and wait.
// The transport is net/http's with access tokens of golang.org/x/oauth2, which is what the SDK makes itself where it is
// given no client; only so can the simulator's authority be trusted.
func adminSDK(ctx context.Context, j *job, t *tally) error {
	verify, err := j.Ground.tls()
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = verify // HTTP/2 stays on: the default transport forces it
	account, err := j.Ground.accountJSON()
	if err != nil {
		return err
	}
	config, err := google.JWTConfigFromJSON(account, fcmScope)
	if err != nil {
		return fmt.Errorf("service account: %w", err)
	}
	asking := context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: transport})
	client := &http.Client{Transport: &oauth2.Transport{Source: config.TokenSource(asking), Base: transport}}
	app, err := firebase.NewApp(ctx, &firebase.Config{ProjectID: project}, option.WithHTTPClient(client), option.WithEndpoint(j.Ground.FCM))
	if err != nil {
		return err
	}
	sender, err := app.Messaging(ctx)
	if err != nil {
		return err
	}
	ttl := time.Hour
	send := func(_ int, n uint64) error {
		_, err := sender.Send(ctx, &messaging.Message{
			Token:   fcmToken(n),
			Data:    map[string]string{"t": "checkin"},
			Android: &messaging.AndroidConfig{Priority: "normal", TTL: &ttl, DirectBootOK: true},
		})
		return err
	}
	if err := send(0, 1<<59); err != nil { // opens the connection: else each of the first messages would open one
		return unlessEnded(ctx, err)
	}
	return eachWorker(ctx, j, t, send)
}
