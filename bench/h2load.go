package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// h2load is nghttp2's load generator, in C: what a client costs that is written for nothing but load. It has no client
// certificates, so it authenticates with a provider token, and it repeats a list of tokens.

const (
	h2loadTokens = 10_000
	// h2loadRate is how many requests it is given for each second that the others are measured for.
	h2loadRate = 300_000
)

// h2loadRun is one way to run it.
type h2loadRun struct {
	path                          string
	at                            *site
	threads, connections, streams int
	requests                      int
}

func (r *h2loadRun) run(ctx context.Context) (s sample, err error) {
	files, err := r.write()
	if err != nil {
		return sample{}, err
	}
	authorization, err := r.authorization()
	if err != nil {
		return sample{}, err
	}
	before, err := r.at.process.cpu()
	if err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, r.path,
		"-t", strconv.Itoa(r.threads), "-c", strconv.Itoa(r.connections), "-m", strconv.Itoa(r.streams), "-n", strconv.Itoa(r.requests),
		"-i", files.tokens, "-d", files.body,
		"-H", ":method: POST", "-H", "authorization: bearer "+authorization, "-H", "apns-topic: "+topic, "-H", "apns-push-type: mdm",
		"-H", "apns-priority: 10", "-H", "apns-expiration: "+strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("h2load: %w\n%s", err, out)
	}
	after, err := r.at.process.cpu()
	if err != nil {
		return sample{}, err
	}
	accepted, took, err := parseH2load(out)
	if err != nil {
		return sample{}, err
	}
	if accepted != r.requests {
		return sample{}, fmt.Errorf("h2load: %d of %d requests were answered 200:\n%s", accepted, r.requests, out)
	}
	return sample{
		Pushes: int64(accepted), Took: took, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), Simulator: after - before,
	}, nil
}

// h2loadFiles are what it reads.
type h2loadFiles struct{ tokens, body string }

func (r *h2loadRun) write() (h2loadFiles, error) {
	dir := r.at.ground.Dir
	f := h2loadFiles{filepath.Join(dir, "h2load-tokens"), filepath.Join(dir, "h2load-body")}
	var text bytes.Buffer
	out := bufio.NewWriter(&text)
	for n := range uint64(h2loadTokens) {
		fmt.Fprintf(out, "https://%s%s%s\n", r.at.ground.APNs, devicePath, apnsToken(n))
	}
	return f, errors.Join(out.Flush(), os.WriteFile(f.tokens, text.Bytes(), 0o600), os.WriteFile(f.body, []byte(`{"mdm":"`+magic+`"}`), 0o600))
}

// authorization is a provider token of the simulator's key.
func (r *h2loadRun) authorization() (string, error) {
	file, err := os.ReadFile(r.at.ground.providerKey())
	if err != nil {
		return "", err
	}
	key, err := jwt.ParseECPrivateKeyFromPEM(file)
	if err != nil {
		return "", fmt.Errorf("provider key: %w", err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": r.at.ground.TeamID, "iat": time.Now().Unix()})
	token.Header["kid"] = r.at.ground.KeyID
	return token.SignedString(key)
}

var (
	h2loadFinished = regexp.MustCompile(`(?m)^finished in ([0-9.]+(?:us|ms|s)), `)
	h2loadStatus   = regexp.MustCompile(`(?m)^status codes: (\d+) 2xx`)
)

// parseH2load reads how many requests were answered 200, and in what time.
func parseH2load(out []byte) (accepted int, took time.Duration, err error) {
	finished, status := h2loadFinished.FindSubmatch(out), h2loadStatus.FindSubmatch(out)
	if finished == nil || status == nil {
		return 0, 0, fmt.Errorf("h2load does not say what it did:\n%s", out)
	}
	if took, err = time.ParseDuration(string(finished[1])); err != nil {
		return 0, 0, fmt.Errorf("h2load: %w", err)
	}
	accepted, err = strconv.Atoi(string(status[1]))
	return accepted, took, err
}
