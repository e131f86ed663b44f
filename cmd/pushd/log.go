package main

import (
	"fmt"
	"io"
	"log/slog"
)

// LogConfig says what is logged, and how. Logs go to standard error.
type LogConfig struct {
	Level  string `name:"level" help:"Least level that is logged: debug, info, warn or error. Nothing per push is above debug." enum:"debug,info,warn,error" default:"info"`
	Format string `name:"format" help:"One line of text or one JSON object per entry: text or json." enum:"text,json" default:"text"`
}

// Validate returns all faults.
func (c LogConfig) Validate() error {
	// Level and Format are checked against their enums when they are read, from wherever they come.
	return nil
}

// newLogger builds the log of the process. Each package gets it With("component", its name) where it is wired.
func newLogger(cfg LogConfig, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: withoutSecrets}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return slog.New(slog.NewTextHandler(w, options)), nil
}

// secretKeys are the names under which somebody could log a secret by mistake.
var secretKeys = map[string]bool{
	"token": true, "push_magic": true, "authorization": true, "password": true, "private_key": true, "secret": true,
}

// withoutSecrets is the last net: the packages log no token, push magic or key at all.
func withoutSecrets(_ []string, attr slog.Attr) slog.Attr {
	if secretKeys[attr.Key] {
		return slog.String(attr.Key, "<redacted>")
	}
	return attr
}
