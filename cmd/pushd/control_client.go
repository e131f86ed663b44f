package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// remote is how a command reaches the daemon that runs with the same configuration: over store.dir, where only the
// daemon's own user can read how.
type remote struct {
	dir  string
	file controlFile
}

// controlTime is how long a command may take: the daemon answers from memory.
const controlTime = 10 * time.Second

// findRemote reads the file that a daemon leaves in its ledger's directory.
func findRemote(dir string) (*remote, error) {
	path := filepath.Join(dir, controlName)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no pushd runs with the ledger in %s: there is no %s; give this command the daemon's --config, on the daemon's machine", dir, controlName)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; run this command as the daemon's user", err)
	case err != nil:
		return nil, err
	}
	r := &remote{dir: dir}
	if err := json.Unmarshal(text, &r.file); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w; the daemon writes it anew when it starts", path, err)
	}
	return r, nil
}

// get asks for a list.
func (r *remote) get(path string, answer any) error {
	return r.do(http.MethodGet, path, "", answer)
}

// post has a command carried out.
func (r *remote) post(path string, form url.Values, answer any) error {
	return r.do(http.MethodPost, path, form.Encode(), answer)
}

func (r *remote) do(method, path, form string, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), controlTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+r.file.Address+path, strings.NewReader(form))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+r.file.Token)
	if form != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	transport := &http.Transport{DisableKeepAlives: true} // and no proxy: the token goes to the daemon alone
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("the pushd of %s does not answer at %s: %w; does it still run?", r.dir, r.file.Address, err)
	}
	defer response.Body.Close()
	const most = 64 << 20
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return fmt.Errorf("the answer of %s: %w", r.file.Address, err)
	}
	if response.StatusCode != http.StatusOK {
		var refusal controlError
		if json.Unmarshal(body, &refusal) != nil || refusal.Error == "" {
			refusal.Error = response.Status
		}
		return errors.New(refusal.Error)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("the answer of %s: %w; is it of another version?", r.file.Address, err)
	}
	return nil
}

// jsonLines writes a list as every list command does with --json: one object per line, so that a list of any length can be
// cut, counted and searched line by line.
func jsonLines[T any](w io.Writer, all []T) error {
	encoder := json.NewEncoder(w)
	for i := range all {
		if err := encoder.Encode(all[i]); err != nil {
			return err
		}
	}
	return nil
}
