package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"pushd/providers"
)

// role is what somebody may do on the admin listener. Each may do what those before it may.
type role int

const (
	anybody    role = iota // learns whether the process answers and is ready
	asViewer               // reads metrics, reasons and lists
	asOperator             // commands
)

// roles are those that a token can have.
var roles = map[string]role{"viewer": asViewer, "operator": asOperator}

// caller is who asks.
type caller struct {
	name string
	role role
}

// localCaller is who has the token in store.dir: a command on the daemon's machine, by the daemon's user.
const localCaller = "local"

// access decides who may ask what. A token is known by its hash alone: what admin.tokens_file holds opens nothing.
type access struct {
	tokensFile string // "" where everybody who reaches the listener may read
	local      string // the token of localCaller, another one at each start
	log        *slog.Logger
}

func newAccess(tokensFile string, log *slog.Logger) *access {
	return &access{tokensFile: tokensFile, local: rand.Text(), log: log}
}

// grant is a line of admin.tokens_file.
type grant struct {
	caller
	hash [sha256.Size]byte
}

// who finds out who asks. The file is read for each request, so that a token that is taken out of it is worth nothing at once.
func (a *access) who(r *http.Request) caller {
	header := r.Header.Get("Authorization")
	if header == "" {
		if a.tokensFile == "" {
			return caller{"anybody", asViewer}
		}
		return caller{"anybody", anybody}
	}
	found := caller{"unknown", anybody}
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return found
	}
	hash := sha256.Sum256([]byte(token))
	known := []grant{{caller{localCaller, asOperator}, sha256.Sum256([]byte(a.local))}}
	if a.tokensFile != "" {
		grants, err := readGrants(a.tokensFile)
		if err != nil {
			a.log.Error("nobody's token can be checked", "error", err)
		}
		known = append(known, grants...)
	}
	for _, g := range known {
		if subtle.ConstantTimeCompare(hash[:], g.hash[:]) == 1 {
			found = g.caller
		}
	}
	return found
}

type callerKey struct{}

// callerOf is who made a request that access let through.
func callerOf(r *http.Request) caller { return r.Context().Value(callerKey{}).(caller) }

// needs lets in who has at least a role.
func (a *access) needs(least role, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := a.who(r)
		if c.role >= least {
			handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
			return
		}
		a.log.Warn("a request was refused", "actor", c.name, "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path)
		if c.role == anybody || r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeJSON(w, http.StatusUnauthorized, controlError{"a token that is known here is needed: one of admin.tokens_file, or that in " + controlName + " of store.dir"})
			return
		}
		writeJSON(w, http.StatusForbidden, controlError{"this needs the role operator"})
	})
}

// maxTokensFile bounds what is read of admin.tokens_file, in bytes.
const maxTokensFile = 64 << 10

// hashPrefix stands before a hash, and says of which kind it is.
const hashPrefix = "sha256:"

// readGrants reads a file of tokens. Each line is a name, a role and a hash; lines that begin with # are left out.
func readGrants(path string) ([]grant, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := providers.CheckPrivate(path, info); err != nil {
		return nil, err
	}
	if info.Size() > maxTokensFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxTokensFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var grants []grant
	names := map[string]bool{localCaller: true}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		g, err := parseGrant(line)
		if err == nil && names[g.name] {
			err = fmt.Errorf("the name %q is taken", g.name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w; \"pushd admin-token\" makes a line", path, n, err)
		}
		names[g.name], grants = true, append(grants, g)
	}
	if len(grants) == 0 {
		return nil, fmt.Errorf("%s has no token; \"pushd admin-token\" makes one", path)
	}
	return grants, nil
}

// parseGrant reads a line. It repeats nothing of it: somebody may have written the token itself.
func parseGrant(line string) (grant, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return grant{}, errors.New("a line is a name, a role and a hash")
	}
	g := grant{caller: caller{fields[0], roles[fields[1]]}}
	if g.role == anybody {
		return grant{}, errors.New("the second word is neither viewer nor operator")
	}
	digits, ok := strings.CutPrefix(fields[2], hashPrefix)
	hash, err := hex.DecodeString(digits)
	if !ok || err != nil || len(hash) != len(g.hash) {
		return grant{}, errors.New("the third word is not " + hashPrefix + " and 64 hexadecimal digits")
	}
	copy(g.hash[:], hash)
	return g, nil
}

// adminTokenCmd is "pushd admin-token".
type adminTokenCmd struct {
	Name string `arg:"" help:"Who gets the token, such as prometheus; it stands in the audit lines of the log."`
	Role string `name:"role" help:"viewer reads; operator commands too." enum:"viewer,operator" default:"viewer"`
}

// Run makes a token and its line. The token is kept nowhere.
func (c *adminTokenCmd) Run(p *process) error {
	token := rand.Text()
	line := fmt.Sprintf("%s %s %s%x", c.Name, c.Role, hashPrefix, sha256.Sum256([]byte(token)))
	if _, err := parseGrant(line); err != nil || c.Name == localCaller {
		return usageError{fmt.Errorf("%q is no name: take one word other than %q", c.Name, localCaller)}
	}
	_, err := fmt.Fprintf(p.stdout, "token, shown this once:  %s\nline of admin.tokens_file:  %s\n", token, line)
	return err
}
