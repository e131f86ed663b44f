package kafkatest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Version is the Apache Kafka that is started; pom.xml names the same.
const Version = "4.2.1"

//go:embed pom.xml
var pom []byte

// artifacts returns the directory of the broker's jars, which it has Maven fetch (54 MB) where they are missing.
// They are kept in the user's cache directory, for all checkouts.
func artifacts(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for Kafka's jars: %w", err)
	}
	home := filepath.Join(cache, "pushd", "kafka-"+Version)
	libs := filepath.Join(home, "libs")
	if _, err := os.Stat(libs); err == nil {
		return libs, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("mvn is not installed, and is needed once to fetch Kafka; on Debian: apt-get install default-jre-headless maven")
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	partial, err := os.MkdirTemp(home, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	if err := os.WriteFile(filepath.Join(partial, "pom.xml"), pom, 0o644); err != nil {
		return "", err
	}
	fetch := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs")
	fetch.Dir = partial
	if out, err := fetch.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch Kafka %s with mvn: %w\n%s", Version, err, out)
	}
	// Renamed when it is whole. Another process may have been faster.
	if err := os.Rename(filepath.Join(partial, "libs"), libs); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("keep Kafka's jars: %w", err)
	}
	return libs, nil
}
