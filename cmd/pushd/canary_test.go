package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"pushd/loadtest/mixture"
	"pushd/providers/simulator"
	"pushd/queue"
	"pushd/queue/event"
)

// The marks that the secrets of the run carry, and what all of their kind begin with.
const (
	tokenMark    = "c0ffee5ec4e7"
	magicMark    = "CANARY-magic-"
	passwordMark = "CANARY-password"
	accessMark   = "ya29."      // an access token of the simulator
	jwtMark      = "eyJhbGciOi" // a signed assertion, or a provider token
)

// canaries are secrets, in every form in which one could get out.
type canaries map[string]string // what it is, by form

func (c canaries) add(what string, secrets ...string) {
	for _, secret := range secrets {
		c[secret], c[strings.ToUpper(secret)] = what, what
		c[hex.EncodeToString([]byte(secret))] = what + " in hexadecimal digits"
		c[strings.Trim(fmt.Sprint([]byte(secret)), "[]")] = what + " as a list of bytes"
		for shift := range 3 { // base64 has another form for each place that a text can begin at
			encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
			c[encoded[(shift*8+5)/6:len(encoded)-2]] = what + " in base64"
		}
	}
}

// in names the secrets that a text has.
func (c canaries) in(text string) (found []string) {
	for form, what := range c {
		if at := strings.Index(text, form); at >= 0 {
			found = append(found, fmt.Sprintf("%s: ...%.200s...", what, text[max(0, at-100):]))
		}
	}
	return found
}

var keyMaterial = regexp.MustCompile(`[A-Za-z0-9+/]{40,}`)

// addKeys adds all lines of the keys in a directory.
func (c canaries) addKeys(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"*.key", "*.json"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c.add("a line of "+filepath.Base(path), keyMaterial.FindAllString(string(text), -1)...)
		}
	}
}

// markedRecords are wakes with marked tokens and magics: good ones, those that providers refuse in every way, and poison.
func markedRecords(load *mixture.Mixture) (records []kafka.Message, dead string) {
	faults := []mixture.Fault{mixture.NoFault, mixture.DeadToken, mixture.TooMany, mixture.Unavailable, mixture.Internal, mixture.Reset, mixture.LastOfConnection}
	apple := withDevices(load)
	android := slices.DeleteFunc(slices.Clone(load.Tenants), func(t mixture.Tenant) bool { return t.Project == "" })
	for i := range 20 * len(faults) {
		device := fmt.Sprintf("phone-%d", i)
		wake := goodWakeOf(apple[i%len(apple)].Name, device, i)
		wake["token"], wake["push_magic"] = fmt.Sprintf("%s%052x", tokenMark, i), magicMark+fmt.Sprint(i)
		if i%4 == 0 {
			wake["tenant"], wake["provider"], wake["token"] = android[i%len(android)].Name, "fcm", fmt.Sprintf("%s:APA91b%0100x", tokenMark, i)
			delete(wake, "push_magic")
		}
		load.Faults[wake["token"].(string)] = faults[i%len(faults)]
		if faults[i%len(faults)] == mixture.DeadToken {
			dead = wake["token"].(string)
		}
		records = append(records, recordOf(wake["tenant"].(string), device, wake))
	}
	for i, kind := range hostileKinds {
		tenant, device := apple[i%len(apple)], fmt.Sprintf("hostile-%d", i)
		wake := goodWakeOf(tenant.Name, device, 10_000+i)
		wake["token"], wake["push_magic"] = fmt.Sprintf("%s%052x", tokenMark, 10_000+i), magicMark+fmt.Sprint(i)
		records = append(records, kind(tenant, device, wake).Message)
	}
	return records, dead
}

// Marked secrets go through everything that a bad day has, with all that is logged switched on. What pushd says of it has
// none of them. Where they have to be they are: at the providers, and in the bodies of dead letters.
func TestNoSecretLeavesPushdButWhereItHasTo(t *testing.T) {
	t.Parallel()
	load := newLoad(1, 21)
	records, dead := markedRecords(load)
	p := playOf(t, load)
	refused := withDevices(load)[1]
	if _, err := p.stage.Renew(refused, simulator.PushOptions{Environment: simulator.Sandbox}); err != nil {
		t.Fatal(err)
	}
	secrets := canaries{}
	secrets.add("a device's token", tokenMark)
	secrets.add("a push magic", magicMark)
	secrets.add("a password", passwordMark)
	secrets.add("an access token", accessMark)
	secrets.add("a JWT", jwtMark)
	secrets.addKeys(t, p.stage.TenantsDir)
	clean := func(what, text string) {
		t.Helper()
		for _, found := range secrets.in(text) {
			t.Errorf("%s has %s", what, found)
		}
	}

	// A daemon that ends as by a panic, amid its work, and says where each goroutine was.
	password := file(t, passwordMark)
	falls := p.daemon("daemon", "--log.level=debug", "--log.format=json", "--rates.total=50")
	p.publishHostile(records)
	p.accepted(5)
	falls.tell(syscall.SIGQUIT)
	if code := falls.exit(t); code != 2 || falls.said("goroutine ") == "" {
		t.Errorf("exit code %d, and no goroutine is told", code)
	}
	// One that takes over from it, with the tenant whose certificate is refused; and one that no broker lets in.
	// What it hears of a credential may begin with a dead token, which it believes only after guard.patience.
	daemon := p.daemon("daemon", "--log.level=debug", "--admin.tokens_file="+adminTokens(t, secrets), "--guard.patience=1s")
	stranded := p.stranded(password)
	p.eventually("everything is committed", p.committedToTheEnd)
	p.eventually("the credential is refused", func() bool { return p.server.Audit.Told(refused.Name, event.CredentialRefused) > 0 })
	p.eventually("its broker does not let it in", func() bool { return stranded.said("kafka: cannot") != "" })

	remote, err := findRemote(p.ledger("daemon"))
	if err != nil {
		t.Fatal(err)
	}
	secrets.add("the token in store.dir", remote.file.Token)
	for _, authorization := range []string{"", "Bearer " + remote.file.Token} {
		for _, route := range []string{
			"GET /metrics", "GET /healthz", "GET /readyz", "GET /control/guards", "GET /control/partitions", "POST /control/guards/release",
			"POST /control/partitions/proceed", "POST /control/tokens/hash?token=" + tokenMark, "GET /debug/pprof/heap", "GET /debug/pprof/goroutine?debug=2", "GET /debug/vars", "GET /",
		} {
			method, path, _ := strings.Cut(route, " ")
			clean("the answer to "+route, p.answer(method, "http://"+remote.file.Address+path, authorization))
		}
	}
	p.hashIsThatOfTheFeedback(dead)

	// What reaches the topics beside the bodies of dead letters, which are the records as they were published.
	bodies := ""
	for _, r := range p.records(p.server.Dead) {
		letter, ok := event.ParseDeadLetter(r.Headers)
		if !ok {
			t.Fatalf("%+v is no dead letter", r.Headers)
		}
		clean("a dead letter's header", fmt.Sprintf("%s", letter.Own))
		bodies += string(r.Value)
	}
	for _, r := range p.records(p.server.Feedback) {
		clean("feedback", fmt.Sprintf("%s %s %s", r.Key, r.Value, r.Headers))
	}
	for _, mark := range []string{tokenMark, magicMark} {
		if !strings.Contains(bodies, mark) {
			t.Errorf("no dead letter has %s: the run shows nothing", mark)
		}
	}
	for _, args := range [][]string{{"list"}, {"list", "--json", "--all"}, {"replay"}, {"drop", "--reason=bad_json"}} {
		got := p.dead(args...)
		clean(fmt.Sprint("dead ", args), got.stdout+got.stderr)
	}

	// Commands that are given what they cannot use.
	tenants := t.TempDir()
	for name, content := range map[string]string{
		"inline.yaml":  "tenant: a\napns: {certificate: a.p12, password: " + passwordMark + "}\n",
		"wrong.yaml":   "tenant: b\napns: {certificate: b.p12, password_file: b.pass}\nfcm: {service_account: '{\"private_key\": \"" + passwordMark + "\"}'}\n",
		"b.p12":        passwordMark,
		"b.pass":       passwordMark,
		"key.yaml":     "tenant: c\napns: {p8: c.p8, key_id: " + passwordMark + ", team_id: ABCDEFGHIJ, topic: t}\nfcm: {service_account: c.json}\n",
		"c.p8":         "-----BEGIN PRIVATE KEY-----\n" + passwordMark + "\n-----END PRIVATE KEY-----\n",
		"c.json":       `{"type":"service_account","private_key":"` + passwordMark + `"`,
		"unknown.yaml": "tenant: d\n" + passwordMark[:6] + ": " + passwordMark + "\n",
	} {
		if err := os.WriteFile(filepath.Join(tenants, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"PUSHD_KAFKA_SASL_PASSWORD": passwordMark}
	for _, args := range [][]string{
		{"check-config", "--tenants.dir=" + tenants}, {"check-config", "--json", "--tenants.dir=" + tenants},
		{"config", "show", "--kafka.sasl.mechanism=scram-sha-256", "--kafka.sasl.username=u", "--kafka.sasl.password_file=" + password},
		{"config", "show", "-c", file(t, "kafka:\n  sasl:\n    password: "+passwordMark+"\n")},
		{"check-config", "-c", file(t, "password: "+passwordMark+"\n")},
		{"run", "--admin.tokens_file=" + password}, {"run", "--kafka.tls.enable", "--kafka.tls.cert=" + password, "--kafka.tls.key=" + password, "--tenants.dir=" + tenants},
	} {
		got := pushd(env, args...)
		clean(fmt.Sprint(args), got.stdout+got.stderr)
	}

	daemon.stop(t)
	for _, c := range []*child{falls, daemon, stranded} {
		log := c.lines(1 << 20)
		if len(log) < 4 {
			t.Errorf("%s has a log of %d lines", c.name, len(log))
		}
		clean("the log of "+c.name, strings.Join(log, "\n"))
	}
}

// stranded is a daemon that its broker does not let in.
func (p *play) stranded(password string) *child {
	p.t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(broker.Close)
	return startChild(p.t, "stranded", "run", "--log.level=debug", "--admin.listen=127.0.0.1:0", "--tenants.dir="+p.stage.TenantsDir,
		"--store.dir="+p.ledger("stranded"), "--kafka.brokers="+broker.ListenAddrs()[0],
		"--kafka.sasl.mechanism=plain", "--kafka.sasl.username=u", "--kafka.sasl.password_file="+password)
}

// adminTokens is a file of tokens with one that is a secret of the run.
func adminTokens(t *testing.T, secrets canaries) string {
	t.Helper()
	token, line := newToken(t, "prometheus", "viewer")
	secrets.add("a token for the admin listener", token)
	return file(t, line)
}

// answer is an answer of the admin listener, whole.
func (p *play) answer(method, url, authorization string) string {
	p.t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var whole bytes.Buffer
	if err := response.Write(&whole); err != nil {
		p.t.Fatal(err)
	}
	return whole.String()
}

// hashIsThatOfTheFeedback checks that who has a token finds its feedback.
func (p *play) hashIsThatOfTheFeedback(token string) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	code := runIn(&process{
		stdin: strings.NewReader(token + "\n"), stdout: &stdout, stderr: &stderr, getenv: func(string) (string, bool) { return "", false },
	}, []string{"hash-token", "--store.dir=" + p.ledger("daemon")})
	hash := strings.TrimSpace(stdout.String())
	if code != exitOK || !regexp.MustCompile(`^hmac:[0-9a-f]{12}$`).MatchString(hash) {
		p.t.Fatalf("hash-token: exit code %d, %q, %s", code, hash, stderr.String())
	}
	p.eventually("the feedback of a dead token has the hash "+hash, func() bool {
		return slices.ContainsFunc(p.records(p.server.Feedback), func(r queue.Record) bool {
			f, err := event.DecodeFeedback(r.Value)
			return err == nil && f.Outcome == event.TokenDead && f.TokenHash == hash
		})
	})
}
