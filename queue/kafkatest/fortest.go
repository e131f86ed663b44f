package kafkatest

import (
	"context"
	"testing"
	"time"
)

// fetchLimit is how long a start may take the first time, when Kafka is fetched.
const fetchLimit = 5 * time.Minute

// ForTest returns the broker that PUSHD_TEST_KAFKA names, or one that is started now and stopped when the test has ended.
func ForTest(t testing.TB) *Kafka {
	t.Helper()
	if k := FromEnv(); k != nil {
		return k
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	k, err := Start(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Stop(); err != nil {
			t.Error(err)
		}
	})
	return k
}
