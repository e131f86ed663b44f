package main

import (
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
)

// asPushd is the environment variable that makes this test's binary be pushd: so tests have it as a process of its own,
// with the race detector where they have it, and nothing is built.
const asPushd = "PUSHD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPushd) != "" {
		go func() { // standard input ends when the test's process does, however that ends
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(exitFailed)
		}()
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(descriptors.Checked(m))
}
