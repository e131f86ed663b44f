package main

import (
	"testing"

	"go.uber.org/goleak"

	"pushd/loadtest/descriptors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(descriptors.Checked(m)) }
