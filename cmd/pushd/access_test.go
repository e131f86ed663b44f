package main

import (
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pushd/dispatcher"
)

// ask makes a request of the admin listener, and gives the status of the answer.
func ask(t *testing.T, method, url, authorization, body string, headers ...string) int {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// newToken makes a token as an operator does.
func newToken(t *testing.T, name, role string) (token, line string) {
	t.Helper()
	got := pushd(nil, "admin-token", name, "--role="+role)
	found := regexp.MustCompile(`(?s)^token, shown this once:  (\S+)\n.*:  (.*)\n$`).FindStringSubmatch(got.stdout)
	if got.code != exitOK || found == nil {
		t.Fatalf("admin-token: %+v", got)
	}
	return found[1], found[2]
}

// Every route with every role: what is not allowed is refused before anything is looked at.
func TestEachRoleMayAskWhatItMay(t *testing.T) {
	t.Parallel()
	reader, readerLine := newToken(t, "prometheus", "viewer")
	commander, commanderLine := newToken(t, "on-call", "operator")
	tokens := file(t, "# who may ask\n\n"+readerLine+"\n"+commanderLine+"\n")
	a := startAdminOf(t, AdminConfig{Listen: "127.0.0.1:0", TokensFile: tokens}, newReadiness())
	engine := dispatcher.New(dispatcher.DefaultConfig(), dispatcher.Deps{Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if _, err := openControl(t.TempDir(), a, engine, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	url := "http://" + a.addr().String()
	const badRequest = http.StatusBadRequest // from behind the gate: nothing was said of what to release
	for _, row := range []struct {
		route                              string
		body                               string
		stranger, wrong, viewer, commander int
	}{
		{"GET /healthz", "", 200, 200, 200, 200},
		{"GET /readyz", "", 503, 503, 503, 503}, // it is not running
		{"GET /metrics", "", 401, 401, 200, 200},
		{"GET /control/guards", "", 401, 401, 200, 200},
		{"GET /control/partitions", "", 401, 401, 200, 200},
		{"POST /control/guards/release", "", 401, 401, 403, badRequest},
		{"POST /control/partitions/proceed", "partition=x", 401, 401, 403, badRequest},
		{"POST /control/tokens/hash", "", 401, 401, 403, badRequest},
		{"POST /metrics", "", 405, 405, 405, 405},
		{"GET /debug/pprof/heap", "", 404, 404, 404, 404},
		{"GET /debug/vars", "", 404, 404, 404, 404},
	} {
		method, path, _ := strings.Cut(row.route, " ")
		for authorization, want := range map[string]int{
			"": row.stranger, "Bearer wrong": row.wrong, "Bearer " + readerLine: row.wrong, "Bearer": row.wrong, commander: row.wrong,
			"Bearer " + reader: row.viewer, "Bearer " + commander: row.commander, "Bearer " + a.access.local: row.commander,
		} {
			if got := ask(t, method, url+path, authorization, row.body, "Content-Type", "application/x-www-form-urlencoded"); got != want {
				t.Errorf("%s with %q: %d, want %d", row.route, authorization, got, want)
			}
		}
	}

	// What another page's script sends is refused, whoever's token it has.
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if got := ask(t, http.MethodPost, url+"/control/guards/release", "Bearer "+commander, "", headers...); got != http.StatusForbidden {
			t.Errorf("from another page (%v): %d", headers, got)
		}
	}

	// A token that is taken out of the file is worth nothing at once, and so is all of a file that cannot be read.
	rewrite(t, tokens, commanderLine+"\n")
	if got := ask(t, http.MethodGet, url+"/metrics", "Bearer "+reader, ""); got != http.StatusUnauthorized {
		t.Errorf("with a token that was withdrawn: %d", got)
	}
	if err := os.Remove(tokens); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, http.MethodGet, url+"/metrics", "Bearer "+commander, ""); got != http.StatusUnauthorized {
		t.Errorf("without the file: %d", got)
	}
}

func TestStrangersLearnNoReasons(t *testing.T) {
	t.Parallel()
	token, line := newToken(t, "probe", "viewer")
	ready := newReadiness()
	ready.add("providers", func() (bool, string) { return false, "of tenant acme" })
	ready.enter(running)
	url := "http://" + startAdminOf(t, AdminConfig{Listen: "127.0.0.1:0", TokensFile: file(t, line)}, ready).addr().String()
	status, body, _ := get(t, url+"/readyz")
	if status != http.StatusServiceUnavailable || strings.Contains(body, "acme") || !strings.Contains(body, `"checks":[]`) {
		t.Errorf("a stranger is told %d %s", status, body)
	}
	if status := ask(t, http.MethodGet, url+"/readyz", "Bearer "+token, ""); status != http.StatusServiceUnavailable {
		t.Errorf("a viewer is told %d", status)
	}
}

func TestAFileOfTokensThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	const canary = "hunter2"
	good := "sha256:" + strings.Repeat("ab", 32)
	for content, want := range map[string]string{
		"":                                  "has no token",
		"# nobody\n":                        "has no token",
		"p viewer\n":                        ":1: a line is a name, a role and a hash",
		"\n" + canary + "\n":                ":2: a line is a name, a role and a hash",
		"p viewer " + canary + "\n":         ":1: the third word is not sha256: and 64 hexadecimal digits",
		"p viewer " + good + "ff\n":         ":1: the third word is not",
		"p viewer " + good[len("sha256:"):]: ":1: the third word is not",
		"p " + canary + " " + good + "\n":   ":1: the second word is neither viewer nor operator",
		"p viewer " + good + "\np operator " + good + "\n": `:2: the name "p" is taken`,
		"local operator " + good + "\n":                    `:1: the name "local" is taken`,
		strings.Repeat("#", maxTokensFile+1):               "is larger than",
	} {
		path := file(t, content)
		if _, err := readGrants(path); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) || strings.Contains(err.Error(), canary) {
			t.Errorf("%.40q: %v, want %q", content, err, want)
		}
	}
	open := file(t, "p viewer "+good)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := pushd(nil, "config", "show", "--admin.tokens_file="+open); got.code != exitUsage || !strings.Contains(got.stderr, "admin.tokens_file: "+open+" can be read by others (mode 0644): chmod 600 "+open) {
		t.Errorf("a file that others can read: %+v", got)
	}
	for _, name := range []string{"local", "two words", ""} {
		if got := pushd(nil, "admin-token", name); got.code != exitUsage {
			t.Errorf("a token for %q: %+v", name, got)
		}
	}
}
