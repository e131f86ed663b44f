package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestTheLogKeepsItsLevelAndFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg   LogConfig
		lines int
		json  bool
	}{
		{LogConfig{Level: "debug", Format: "text"}, 4, false},
		{LogConfig{Level: "info", Format: "json"}, 3, true},
		{LogConfig{Level: "warn", Format: "text"}, 2, false},
		{LogConfig{Level: "error", Format: "json"}, 1, true},
	} {
		var out bytes.Buffer
		log, err := newLogger(c.cfg, &out)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("a")
		log.Info("a")
		log.Warn("a")
		log.Error("a", "shard_id", 7)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != c.lines {
			t.Errorf("%+v: %d lines, want %d", c.cfg, len(lines), c.lines)
		}
		if json.Valid([]byte(lines[len(lines)-1])) != c.json {
			t.Errorf("%+v: %s", c.cfg, lines[len(lines)-1])
		}
	}
}

func TestALoggerOfAnUnknownLevelIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := newLogger(LogConfig{Level: "loud"}, &bytes.Buffer{}); err == nil {
		t.Error("level loud was taken")
	}
}

func TestASecretLoggedByMistakeIsNotWritten(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := newLogger(LogConfig{Level: "debug", Format: format}, &out)
		if err != nil {
			t.Fatal(err)
		}
		for key := range secretKeys {
			log.With(key, "canary-1").WithGroup("push").Info("sent", key, "canary-2")
		}
		if strings.Contains(out.String(), "canary") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
