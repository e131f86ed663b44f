package main

import (
	"net/http"
	"sync"
)

// readiness says whether the process does its work, and if not, why. It is the handler of /readyz: 200 when every check
// is well, 503 otherwise, and always a JSON object with the reasons.
//
//	starting ──all parts run──▶ running ──told to stop──▶ stopping
//
// Checks are asked while running only; the two other phases are not ready, whatever the parts say.
type readiness struct {
	mu     sync.Mutex // guards what is below
	phase  phase
	checks []readyCheck
}

type phase string

const (
	starting phase = "starting"
	running  phase = "running"
	stopping phase = "stopping"
)

// readyCheck asks one part. ask answers from memory, at once. The reason says why ok is false; beside a true ok it is a
// note of what does not stop the work, and is worth a look.
type readyCheck struct {
	name string
	ask  func() (ok bool, reason string)
}

// readyAnswer is the body of /readyz.
type readyAnswer struct {
	Ready  bool         `json:"ready"`
	Phase  phase        `json:"phase"`
	Checks []checkState `json:"checks"`
}

type checkState struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

func newReadiness() *readiness { return &readiness{phase: starting} }

// add puts a part's check on the list.
func (r *readiness) add(name string, ask func() (ok bool, reason string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks = append(r.checks, readyCheck{name, ask})
}

func (r *readiness) enter(p phase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = p
}

// now asks all checks.
func (r *readiness) now() readyAnswer {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := readyAnswer{Ready: r.phase == running, Phase: r.phase, Checks: []checkState{}}
	if r.phase != running {
		return answer
	}
	for _, check := range r.checks {
		ok, reason := check.ask()
		answer.Ready = answer.Ready && ok
		answer.Checks = append(answer.Checks, checkState{check.name, ok, reason})
	}
	return answer
}

// ServeHTTP tells the reasons to those who may read: they name tenants.
func (r *readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	answer := r.now()
	if callerOf(request).role < asViewer {
		answer.Checks = []checkState{}
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}
