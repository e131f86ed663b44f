package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// hashTokenCmd is "pushd hash-token": whoever has a device's token finds its feedback by it, and nobody finds the token by
// the feedback.
type hashTokenCmd struct {
	Settings
}

// Help is shown by "pushd hash-token --help".
func (hashTokenCmd) Help() string {
	return `Reads tokens from standard input, one a line, and writes for each the token_hash that feedback has for it. An argument would stand
in the list of processes, and what is typed into a shell in its history:

  pushd hash-token --config pushd.yaml < tokens.txt

Write a token exactly as in its event, capitals included: another spelling is another hash. The hashes are the ledger's own, so
this asks the daemon that runs with the same configuration on this machine; run it as the daemon's user.`
}

// Run reads tokens, one a line, from the standard input.
func (c *hashTokenCmd) Run(p *process) error {
	remote, err := findRemote(c.Store.Dir)
	if err != nil {
		return err
	}
	lines, tokens := bufio.NewScanner(p.stdin), 0
	for lines.Scan() {
		token := strings.TrimSpace(lines.Text())
		if token == "" {
			continue
		}
		tokens++
		var answer hashAnswer
		if err := remote.post("/control/tokens/hash", url.Values{"token": {token}}, &answer); err != nil {
			return err
		}
		fmt.Fprintln(p.stdout, answer.Hash)
	}
	if tokens == 0 && lines.Err() == nil {
		return usageError{errors.New("there was no token on standard input; write them there, one a line")}
	}
	return lines.Err()
}

// hashAnswer is what a token is called.
type hashAnswer struct {
	Hash string `json:"token_hash"`
}

// hashToken changes nothing, and is a POST all the same: an address would be logged on the way.
func (c *control) hashToken(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	if token == "" {
		writeJSON(w, http.StatusBadRequest, controlError{"token: is empty"})
		return
	}
	writeJSON(w, http.StatusOK, hashAnswer{c.engine.TokenHash(token)})
}
