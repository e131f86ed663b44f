package main

import (
	"testing"
	"time"
)

const h2loadSays = `starting benchmark...
spawning thread #0: 2 total client(s). 900000 total requests
Application protocol: h2
progress: 100% done

finished in 2.35s, 382978.72 req/s, 26.30MB/s
requests: 900000 total, 900000 started, 900000 done, 899998 succeeded, 2 failed, 2 errored, 0 timeout
status codes: 899998 2xx, 0 3xx, 2 4xx, 0 5xx
traffic: 61.80MB (64800100) total, 40.34MB (42300000) headers (space savings 17.54%), 0B (0) data
`

func TestWhatH2loadSays(t *testing.T) {
	t.Parallel()
	accepted, took, err := parseH2load([]byte(h2loadSays))
	if err != nil || accepted != 899_998 || took != 2350*time.Millisecond {
		t.Errorf("got %d in %v, %v", accepted, took, err)
	}
	if _, _, err := parseH2load([]byte("unrecognized option")); err == nil {
		t.Error("what is no result is taken for one")
	}
}
