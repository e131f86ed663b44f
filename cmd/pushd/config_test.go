package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pushd/store"
)

var update = flag.Bool("update", false, "write golden files and docs/configuration.md anew")

// outcome is what a run of the command line left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// pushd runs a command line with an environment.
func pushd(env map[string]string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := runIn(&process{
		stdout: &stdout,
		stderr: &stderr,
		getenv: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
	}, args)
	return outcome{code, stdout.String(), stderr.String()}
}

// parse reads the command line of "pushd config show" and returns the configuration that was in force.
func parse(t *testing.T, env map[string]string, args ...string) *configShowCmd {
	t.Helper()
	p := &process{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, getenv: func(name string) (string, bool) { value, ok := env[name]; return value, ok }}
	command, err := newParser(&commands{}, p, func(int) {}).Parse(append([]string{"config", "show"}, args...))
	if err != nil {
		t.Fatalf("pushd config show %s: %v", strings.Join(args, " "), err)
	}
	return command.Selected().Target.Addr().Interface().(*configShowCmd)
}

// file writes a configuration file.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pushd.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryFaultOfAFileIsToldAtOnceWithItsLine(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/faulty/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no faulty files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			got := pushd(nil, "config", "show", "--config", path)
			if got.code != exitUsage {
				t.Errorf("exit code %d, want %d", got.code, exitUsage)
			}
			if got.stdout != "" {
				t.Errorf("something was printed as the configuration in force:\n%s", got.stdout)
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", got.stderr)
		})
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./cmd/pushd -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./cmd/pushd -update writes it anew).\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestNoFaultRepeatsASecret(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"unknown_settings", "inline_key"} {
		got := pushd(nil, "config", "show", "--config", "testdata/faulty/"+name+".yaml")
		for _, secret := range []string{"hunter2", "MIGTAgEA", "BEGIN"} {
			if strings.Contains(got.stderr, secret) {
				t.Errorf("%s: %q is in the output:\n%s", name, secret, got.stderr)
			}
		}
	}
}

func TestAFileOfKafkasSecretsThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	secret := file(t, "hunter2\n")
	args := []string{
		"config", "show", "--kafka.tls.enable", "--kafka.tls.cert=" + secret, "--kafka.tls.key=" + secret,
		"--kafka.sasl.mechanism=scram-sha-512", "--kafka.sasl.username=u", "--kafka.sasl.password_file=" + secret,
	}
	if got := pushd(nil, args...); got.code != exitOK {
		t.Errorf("mode 0600: exit code %d, %s", got.code, got.stderr)
	}
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	got := pushd(nil, args...)
	for _, key := range []string{"kafka.tls.key", "kafka.sasl.password_file"} {
		if want := "command line: " + key + ": " + secret + " can be read by others (mode 0644): chmod 600 " + secret; got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("exit code %d; no line says %q:\n%s", got.code, want, got.stderr)
		}
	}
}

func TestAFlagGoesBeforeTheEnvironmentBeforeTheFileBeforeTheDefault(t *testing.T) {
	t.Parallel()
	config := file(t, "merge:\n  interval: 2m\n  give_up: 3h\nkafka:\n  allow_plaintext: true\n  brokers: [a:1, b:2]\n")
	env := map[string]string{"PUSHD_MERGE_INTERVAL": "1m", "PUSHD_LOG_LEVEL": ""}
	flags := []string{"--merge.interval=10s"}
	for _, c := range []struct {
		name  string
		env   map[string]string
		args  []string
		want  time.Duration
		where string
	}{
		{"default", nil, nil, 30 * time.Second, ""},
		{"file", nil, []string{"-c", config}, 2 * time.Minute, config},
		{"environment over file", env, []string{"-c", config}, time.Minute, "PUSHD_MERGE_INTERVAL"},
		{"environment over default", env, nil, time.Minute, "PUSHD_MERGE_INTERVAL"},
		{"flag over all", env, append(flags, "-c", config), 10 * time.Second, "command line"},
		{"flag over file", nil, append(flags, "-c", config), 10 * time.Second, "command line"},
		{"file named by the environment", map[string]string{"PUSHD_CONFIG": config}, nil, 2 * time.Minute, config},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := parse(t, c.env, c.args...)
			if got.Engine.Merge.Interval != c.want {
				t.Errorf("merge.interval is %v, want %v", got.Engine.Merge.Interval, c.want)
			}
			if where, _ := got.sources.origin("merge.interval"); where != c.where {
				t.Errorf("merge.interval comes from %q, want %q", where, c.where)
			}
			if got.Log.Level != "info" {
				t.Errorf("an empty variable set log.level to %q", got.Log.Level)
			}
		})
	}
}

func TestListsAreReadFromAllSources(t *testing.T) {
	t.Parallel()
	want := "[a:1 b:2]"
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"YAML list":         {nil, []string{"-c", file(t, "kafka:\n  brokers:\n    - a:1\n    - b:2\n")}},
		"YAML text":         {nil, []string{"-c", file(t, "kafka:\n  brokers: a:1,b:2\n")}},
		"environment":       {map[string]string{"PUSHD_KAFKA_BROKERS": "a:1,b:2"}, nil},
		"flag":              {nil, []string{"--kafka.brokers=a:1,b:2"}},
		"flag, given twice": {nil, []string{"--kafka.brokers=a:1", "--kafka.brokers=b:2"}},
	} {
		if got := parse(t, c.env, append(c.args, "--kafka.allow_plaintext")...).Kafka.Brokers; len(got) != 2 || got[0] != "a:1" || got[1] != "b:2" {
			t.Errorf("%s: brokers are %v, want %s", name, got, want)
		}
	}
}

func TestAnEmptyFileOrSectionIsTheDefaults(t *testing.T) {
	t.Parallel()
	want := pushd(nil, "config", "show").stdout
	for _, content := range []string{"", "# nothing\n", "---\n", "merge:\n  # interval: 1m\nlog:\n"} {
		if got := pushd(nil, "config", "show", "-c", file(t, content)); got.code != exitOK || got.stdout != want {
			t.Errorf("%q: exit code %d, %s%s", content, got.code, got.stderr, got.stdout)
		}
	}
}

func TestTheLedgerIsAsTheEngineAsks(t *testing.T) {
	t.Parallel()
	cfg := parse(t, nil, "--dedupe.window=7m", "--dedupe.max_entries=5000", "--merge.interval=40s", "--store.dir=x", "--store.history=2h")
	got := cfg.Store
	want := store.DefaultConfig()
	want.Dir, want.HistoryKeep, want.DedupeWindow, want.DedupeMaxEntries, want.MergeInterval = "x", 2*time.Hour, 7*time.Minute, 5000, 40*time.Second
	want.SetAside = true // what waits is replicated
	if got != want {
		t.Errorf("ledger %+v, want %+v", got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if local := parse(t, nil, "--retry.durability=local"); local.Store.SetAside {
		t.Error("a damaged ledger is set aside that has the only copy of what waits")
	}
}

func TestAFaultNamesThePlaceThatTheValueCameFrom(t *testing.T) {
	t.Parallel()
	config := file(t, "log:\n  level: info\n\nmerge:\n  interval: 30h\n")
	got := pushd(map[string]string{"PUSHD_DEDUPE_WINDOW": "48h", "PUSHD_RATES_FCM": "fast"}, "config", "show", "-c", config, "--rates.apns=-5")
	want := []string{
		config + ":5: merge.interval: 30h",
		"PUSHD_RATES_FCM: rates.fcm: \"fast\" is not a number",
		"PUSHD_DEDUPE_WINDOW: dedupe.window: 48h",
		"command line: rates.apns: -5",
		"pushd: 4 faults in the configuration",
	}
	lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
	if got.code != exitUsage || len(lines) != len(want) {
		t.Fatalf("exit code %d:\n%s", got.code, got.stderr)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d is\n%s\nwant it to begin with\n%s", i+1, line, want[i])
		}
	}
}

func TestTheConfigurationInForceCanBeReadAgain(t *testing.T) {
	t.Parallel()
	first := pushd(nil, "config", "show", "--kafka.brokers=a:1,b:2", "--kafka.tls.enable", "--merge.rewake=1m,2m", "--rates.fcm=0.5", "--tenants.dir=null", "--kafka.client_id=yes")
	if first.code != exitOK {
		t.Fatal(first.stderr)
	}
	second := pushd(nil, "config", "show", "-c", file(t, first.stdout))
	if second.code != exitOK {
		t.Fatal(second.stderr)
	}
	if a, b := withoutComments(first.stdout), withoutComments(second.stdout); a != b {
		t.Errorf("first:\n%s\nsecond:\n%s", a, b)
	}
	if !strings.Contains(second.stdout, `  dir: "null" # `) {
		t.Errorf("the origin of tenants.dir is not told:\n%s", second.stdout)
	}
}

func withoutComments(document string) string {
	var b strings.Builder
	for line := range strings.Lines(document) {
		value, _, _ := strings.Cut(line, " #")
		b.WriteString(strings.TrimSpace(value) + "\n")
	}
	return b.String()
}

func TestExitCodesSayWhoseFaultItWas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help", []string{"--help"}, exitOK, "Usage: pushd"},
		{"help of a command", []string{"config", "show", "--help"}, exitOK, "--merge.interval=30s"},
		{"no command", nil, exitUsage, "a command is missing"},
		{"unknown command", []string{"rum"}, exitUsage, `there is no command "rum" (did you mean "run"?)`},
		{"unknown flag", []string{"config", "show", "--merge.intervall=1s"}, exitUsage, `did you mean "--merge.interval"?`},
		{"bad flag", []string{"config", "show", "--merge.interval=1"}, exitUsage, "write a number with its unit"},
		{"bad choice", []string{"config", "show", "--log.level=loud"}, exitUsage, `command line: log.level: "loud" is not one of debug, info, warn, error`},
		{"bad topic", []string{"config", "show", "--kafka.dead_topic=a b/c"}, exitUsage, `command line: kafka.dead_topic: "a b/c" is no name of a topic`},
		{"key as a flag", []string{"config", "show", "--tenants.dir=-----BEGIN PRIVATE KEY-----"}, exitUsage, "put it into a file"},
		{"no such file", []string{"config", "show", "-c", "testdata/none.yaml"}, exitUsage, "testdata/none.yaml: there is no such file; name the configuration with --config FILE or PUSHD_CONFIG\n"},
		{"no file", []string{"config", "show", "-c", "testdata"}, exitUsage, "testdata: cannot be read: is a directory; --config"},
		{"no such authority", []string{"config", "show", "--providers.apns.root_ca=none.pem"}, exitUsage, "providers.apns.root_ca: open none.pem: no such file or directory; name one that is there, relative paths begin in the working directory\n"},
		{"no such tokens", []string{"config", "show", "--admin.tokens_file=none"}, exitUsage, "admin.tokens_file: stat none: no such file or directory; name one that is there"},
		{"a command that starts nothing", []string{"dead", "list", "-c", "testdata/none.yaml"}, exitUsage, "\npushd: 1 fault in the configuration\n"},
		{"a command that starts something", []string{"run", "-c", "testdata/none.yaml"}, exitUsage, "\npushd: nothing was started: 1 fault in the configuration\n"},
		{"version", []string{"version"}, exitOK, "pushd "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := pushd(nil, c.args...)
			if got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.says) {
				t.Errorf("exit code %d (want %d), output (want %q in it):\n%s%s", got.code, c.code, c.says, got.stdout, got.stderr)
			}
			if strings.Contains(got.stderr, "PRIVATE KEY") {
				t.Errorf("key material in the output: %s", got.stderr)
			}
		})
	}
}

func TestAFileThatIsNoConfigurationIsNotReadWhole(t *testing.T) {
	t.Parallel()
	path := file(t, strings.Repeat("# filler\n", maxConfigFile/9+1))
	if got := pushd(nil, "config", "show", "-c", path); got.code != exitUsage || !strings.Contains(got.stderr, "larger than 1 MiB") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
}

func FuzzConfigFileNeverPanics(f *testing.F) {
	files, _ := filepath.Glob("testdata/faulty/*.yaml")
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte("a: &a [*a]\n"))
	known := newCatalogue()
	f.Fuzz(func(t *testing.T, content []byte) {
		read := parseConfigFile("fuzz.yaml", content, known)
		for key, value := range read.values {
			if err := known.decode(key, value.text); err != nil {
				t.Errorf("%s was taken although it cannot be read: %v", key, err)
			}
		}
		for _, found := range read.faults {
			if found.what == "" || found.where == "" {
				t.Errorf("a fault without text: %+v", found)
			}
		}
	})
}

func TestConfigShowTellsTheOriginOfEachValue(t *testing.T) {
	t.Parallel()
	config := file(t, "merge:\n  interval: 2m\n  rewake: [1m, 2h]\nrates: {fcm: 0.5}\n")
	env := map[string]string{"PUSHD_KAFKA_CREATE_TOPICS": "true"}
	args := []string{"config", "show", "-c", config, "--log.level=debug"}
	got := pushd(env, append(args, "--json")...)
	if got.code != exitOK {
		t.Fatal(got.stderr)
	}
	var shown map[string]shownSetting
	if err := json.Unmarshal([]byte(got.stdout), &shown); err != nil {
		t.Fatal(err)
	}
	if len(shown) != len(newCatalogue().order) {
		t.Errorf("%d settings are shown of %d", len(shown), len(newCatalogue().order))
	}
	text := pushd(env, args...).stdout
	for key, want := range map[string]struct {
		value  any
		yaml   string
		origin string
	}{
		"merge.interval":      {"2m", "interval: 2m", config + ":2"},
		"merge.rewake":        {[]any{"1m", "2h"}, "rewake: [1m, 2h]", config + ":3"},
		"rates.fcm":           {0.5, "fcm: 0.5", config + ":4"},
		"kafka.create_topics": {true, "create_topics: true", "env PUSHD_KAFKA_CREATE_TOPICS"},
		"log.level":           {"debug", "level: debug", "flag"},
		"log.format":          {"text", "format: text", "default"},
	} {
		if got := shown[key]; !reflect.DeepEqual(got, shownSetting{want.value, want.origin}) {
			t.Errorf("%s is shown as %+v, want %+v", key, got, want)
		}
		if line := want.yaml + " # " + want.origin + "\n"; !strings.Contains(text, line) {
			t.Errorf("no line is %s in\n%s", line, text)
		}
	}
}

func TestConfigShowTellsFaultsAsJSONWhereItIsAskedForJSON(t *testing.T) {
	t.Parallel()
	config := file(t, "log:\n  level: loud\n")
	got := pushd(nil, "config", "show", "--json", "-c", config, "--rates.apns=-5")
	var told struct {
		OK     bool
		Config string
		Faults []struct {
			File, Key, What string
			Line            int
		}
	}
	if err := json.Unmarshal([]byte(got.stdout), &told); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if got.code != exitUsage || got.stderr != "pushd: 2 faults in the configuration\n" || told.OK || told.Config != config || len(told.Faults) != 2 {
		t.Fatalf("exit code %d, %+v, %s", got.code, told, got.stderr)
	}
	if f := told.Faults[0]; f.File != config || f.Line != 2 || f.Key != "log.level" || f.What == "" {
		t.Errorf("the first fault is %+v", f)
	}
	if f := told.Faults[1]; f.File != "command line" || f.Key != "rates.apns" {
		t.Errorf("the second fault is %+v", f)
	}
}
