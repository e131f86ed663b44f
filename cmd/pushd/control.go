package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"pushd/dispatcher"
	"pushd/providers"
)

// controlName is the file in the ledger's directory that says where the daemon is reached and with which token. The
// directory and the file are their owner's alone: who may read it may command the daemon.
const controlName = "control.json"

// controlFile is what is in it.
type controlFile struct {
	Address string `json:"address"` // host:port of the admin listener
	Token   string `json:"token"`   // another one at each start
}

// control is what an operator tells a running daemon: routes of the admin listener below /control/. Each that changes
// something is a line of the log.
type control struct {
	path   string
	engine *dispatcher.Engine
	log    *slog.Logger
}

// openControl puts the routes on the listener and writes the file.
func openControl(dir string, admin *admin, engine *dispatcher.Engine, log *slog.Logger) (*control, error) {
	c := &control{path: filepath.Join(dir, controlName), engine: engine, log: log}
	admin.handle("GET /control/guards", asViewer, listing(c.guards))
	admin.handle("POST /control/guards/release", asOperator, c.audited("release guards", c.releaseGuard))
	admin.handle("GET /control/partitions", asViewer, listing(c.partitions))
	admin.handle("POST /control/partitions/proceed", asOperator, c.audited("proceed with partitions", c.proceed))
	admin.handle("POST /control/tokens/hash", asOperator, http.HandlerFunc(c.hashToken))
	if err := c.write(controlFile{Address: admin.addr().String(), Token: admin.access.local}); err != nil {
		return nil, fmt.Errorf("store.dir: the file for operators' commands cannot be written: %w", err)
	}
	return c, nil
}

// write replaces the file at once, so that nobody reads half of it.
func (c *control) write(content controlFile) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	next := c.path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, c.path)
}

// close removes the file: there is nobody any more to be told.
func (c *control) close(context.Context) error { return os.Remove(c.path) }

// listing answers with a list.
func listing(list func() any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, list()) })
}

// change is what there was before a command and what there is after it, of that which the command is about.
type change struct{ before, after any }

// audited has a command carried out, and leaves a line that says who had what done, and what changed by it.
func (c *control) audited(action string, command func(*http.Request) (answer any, done change, err error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, done, err := command(r)
		log := c.log.With("actor", callerOf(r).name, "from", r.RemoteAddr, "action", action, "arguments", r.Form.Encode())
		if err != nil {
			log.Warn("audit", "error", err)
			writeJSON(w, http.StatusBadRequest, controlError{err.Error()})
			return
		}
		log.Info("audit", "before", done.before, "after", done.after)
		writeJSON(w, http.StatusOK, answer)
	})
}

// controlError is the answer to a command that was not carried out.
type controlError struct {
	Error string `json:"error"`
}

// guardAnswer is a tripped guard.
type guardAnswer struct {
	Tenant   string    `json:"tenant"`
	Provider string    `json:"provider"`
	Since    time.Time `json:"since"`
	Dead     int       `json:"dead"`     // of the newest answers
	Accepted int       `json:"accepted"` // of the newest answers
}

func (c *control) guards() any {
	answer := []guardAnswer{}
	for _, g := range c.engine.Guards() {
		answer = append(answer, guardAnswer{g.Tenant, g.Provider, g.Since, g.Dead, g.Accepted})
	}
	return answer
}

// tripped are the providers at which a guard of the tenant is tripped.
func (c *control) tripped(tenant string) []string {
	tripped := []string{}
	for _, g := range c.engine.Guards() {
		if g.Tenant == tenant {
			tripped = append(tripped, g.Provider)
		}
	}
	return tripped
}

// releaseAnswer says which guards of the tenant were tripped, and are not any more.
type releaseAnswer struct {
	Released []string `json:"released"` // providers
}

func (c *control) releaseGuard(r *http.Request) (any, change, error) {
	tenant, provider := r.FormValue("tenant"), r.FormValue("provider")
	report, err := strconv.ParseBool(r.FormValue("report"))
	switch {
	case err != nil:
		return nil, change{}, fmt.Errorf("report: %q is not true or false", r.FormValue("report"))
	case provider != "" && provider != providers.APNs && provider != providers.FCM:
		return nil, change{}, fmt.Errorf("provider: %q is neither %s nor %s", provider, providers.APNs, providers.FCM)
	}
	before := c.tripped(tenant)
	released, known := c.engine.ReleaseGuard(tenant, provider, report)
	if !known {
		return nil, change{}, fmt.Errorf("tenant %q has had no push since the start, so there is nothing to release; is it the tenant's name?", tenant)
	}
	answer := releaseAnswer{Released: []string{}}
	for _, road := range released {
		answer.Released = append(answer.Released, road.Provider)
	}
	return answer, change{before, c.tripped(tenant)}, nil
}

// partitionAnswer is a stopped partition.
type partitionAnswer struct {
	Partition    int32     `json:"partition"`
	Bad          int       `json:"bad"`                    // of the newest records that were read
	Of           int       `json:"of"`                     // so many
	WaitingSince time.Time `json:"waiting_since,omitzero"` // when the first record that is not read was published
}

func (c *control) partitions() any {
	answer := []partitionAnswer{}
	for _, p := range c.engine.StoppedPartitions() {
		answer = append(answer, partitionAnswer{p.Partition, p.Bad, p.Of, p.Waiting})
	}
	return answer
}

// stopped are the partitions that are not read on.
func (c *control) stopped() []int32 {
	stopped := []int32{}
	for _, p := range c.engine.StoppedPartitions() {
		stopped = append(stopped, p.Partition)
	}
	return stopped
}

// proceedAnswer says what became of the partitions that were to go on. Only those that were named can be in the latter two.
type proceedAnswer struct {
	ReadOn      []int32 `json:"read_on"`
	NotStopped  []int32 `json:"not_stopped"`
	NotAssigned []int32 `json:"not_assigned"` // to this daemon
}

func (c *control) proceed(r *http.Request) (any, change, error) {
	if err := r.ParseForm(); err != nil {
		return nil, change{}, err
	}
	var named []int32
	for _, text := range r.Form["partition"] {
		partition, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, change{}, fmt.Errorf("partition: %q is not a number", text)
		}
		named = append(named, int32(partition))
	}
	slices.Sort(named)
	before := c.stopped()
	proceeded, assigned := c.engine.Proceed(named...)
	answer := proceedAnswer{ReadOn: append([]int32{}, proceeded...), NotStopped: []int32{}, NotAssigned: []int32{}}
	for _, p := range slices.Compact(named) {
		switch {
		case slices.Contains(proceeded, p):
		case slices.Contains(assigned, p):
			answer.NotStopped = append(answer.NotStopped, p)
		default:
			answer.NotAssigned = append(answer.NotAssigned, p)
		}
	}
	return answer, change{before, c.stopped()}, nil
}
