package main

import (
	"bufio"
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

// Run reads tokens, one a line, from the standard input: an argument would stand in the list of processes.
func (c *hashTokenCmd) Run(p *process) error {
	remote, err := findRemote(c.Store.Dir)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(p.stdin)
	for lines.Scan() {
		token := strings.TrimSpace(lines.Text())
		if token == "" {
			continue
		}
		var answer hashAnswer
		if err := remote.post("/control/tokens/hash", url.Values{"token": {token}}, &answer); err != nil {
			return err
		}
		fmt.Fprintln(p.stdout, answer.Hash)
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
