package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pushd/providers/simulator"
)

func TestCheckConfigTellsTheFaultsOfAllSourcesAndTenantsAtOnce(t *testing.T) {
	t.Parallel()
	env := map[string]string{"PUSHD_RATES_FCM": "fast", "PUSHD_DEDUPE_WINDOW": "48h"}
	args := []string{"check-config", "--config", "testdata/check/pushd.yaml",
		"--rates.apns=-5", "--rates.total=many", "--merge.rewake=later,1m", "--admin.allow_remote=perhaps", "--log.format=loud"}
	got := pushd(env, args...)
	if got.code != exitUsage || got.stdout != "" {
		t.Errorf("exit code %d, output:\n%s", got.code, got.stdout)
	}
	golden(t, "testdata/check/text.golden", got.stderr)
	got = pushd(env, append(args, "--json")...)
	if got.code != exitUsage {
		t.Errorf("with --json, exit code %d", got.code)
	}
	golden(t, "testdata/check/json.golden", got.stdout)
}

func TestCheckConfigSumsUpWhereAllIsWell(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	c.add("zeta")
	expires := time.Now().Add(100 * time.Hour).Truncate(time.Second)
	c.certificate("zeta", expires)
	key, err := simulator.NewProviderKey()
	if err != nil {
		t.Fatal(err)
	}
	c.write("token.p8", string(key.PEM))
	c.write("token.yaml", "tenant: token\napns: {p8: token.p8, key_id: "+key.KeyID+", team_id: "+key.TeamID+", topic: com.example.app}\n")

	config := file(t, "tenants: {dir: "+c.dir+"}\nstore: {dir: data/ledger}\n")
	got := pushd(nil, "check-config", "-c", config)
	if got.code != exitOK || got.stderr != "" {
		t.Fatalf("exit code %d:\n%s", got.code, got.stderr)
	}
	for _, want := range []string{
		config, "events pushd.checkin, feedback pushd.feedback, dead letters pushd.dead", "data/ledger", "tenants         3",
		"2 APNs certificates, 1 APNs key, 2 FCM service accounts",
		"the certificate of zeta (" + filepath.Join(c.dir, "zeta.yaml") + ") at " + expires.UTC().Format(time.RFC3339) + ", in 4 days",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("the summary does not say %q:\n%s", want, got.stdout)
		}
	}
	got = pushd(nil, "check-config", "-c", config, "--json")
	var report checkReport
	if err := json.Unmarshal([]byte(got.stdout), &struct {
		*checkReport
		Faults []any `json:"faults"`
	}{checkReport: &report}); err != nil || got.code != exitOK {
		t.Fatalf("exit code %d, %v:\n%s", got.code, err, got.stdout)
	}
	if next := report.NextExpiry; !report.OK || report.Tenants != 3 || report.Credentials.Keys != 1 || next == nil || next.Tenant != "zeta" || !next.Expires.Equal(expires) {
		t.Errorf("the report is %s", got.stdout)
	}
	if !strings.Contains(got.stdout, `"faults": []`) {
		t.Errorf("no faults are no list:\n%s", got.stdout)
	}
}

// What is not known is not guessed: a tenant's fault that comes of a directory nobody named only distracts.
func TestCheckConfigLooksOnlyAtTenantsThatItKnows(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		config, want string
		looked       bool
	}{
		"no YAML":            {"tenants:\n\tdir: x\n", ":2: this is not YAML", false},
		"no settings":        {"- tenants\n", ":1: a configuration is settings", false},
		"no directory named": {"tenants: {dir: [a, b]}\n", ":1: tenants.dir: is one value", false},
		"no such directory":  {"log: {level: info}\ntenants: {dir: testdata/none}\n", ":2: tenants.dir: testdata/none: there is no such directory (" + here + "/testdata/none, as a relative path begins in the working directory); make it and put one YAML file for each tenant there", true},
		"nowhere at all":     {"tenants: {dir: /none}\n", ":1: tenants.dir: /none: there is no such directory; make it", true},
		"no tenant":          {"tenants:\n  dir: " + t.TempDir() + "\n", "there is no tenant; put one YAML file for each there", true},
	} {
		got := pushd(nil, "check-config", "-c", file(t, row.config))
		if got.code != exitUsage || !strings.Contains(got.stderr, row.want) || !strings.HasSuffix(got.stderr, "1 fault in the configuration\n") {
			t.Errorf("%s: exit code %d:\n%s", name, got.code, got.stderr)
		}
		if looked := !strings.Contains(got.stderr, "the tenants' files were not looked at"); looked != row.looked {
			t.Errorf("%s: looked at is %v:\n%s", name, looked, got.stderr)
		}
	}
	c := newCustomers(t)
	c.write("broken.yaml", "tenant: broken\n")
	for _, dir := range []string{c.dir, c.dir + "/"} {
		got := pushd(nil, "check-config", "-c", file(t, "tenants:\n\tdir: x\n"), "--tenants.dir", dir)
		if !strings.Contains(got.stderr, "this is not YAML") || !strings.Contains(got.stderr, "neither apns nor fcm") || strings.Contains(got.stderr, "not looked at") {
			t.Errorf("a directory on the command line beside a file that cannot be read:\n%s", got.stderr)
		}
	}
	got := pushd(nil, "check-config", "-c", "testdata/none.yaml", "--json")
	if got.code != exitUsage || !strings.Contains(got.stdout, `"file": "testdata/none.yaml"`) {
		t.Errorf("no such file: exit code %d:\n%s%s", got.code, got.stdout, got.stderr)
	}
}

func TestCheckConfigNamesCredentialsThatDoNotSuitTheConfiguration(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	account, err := simulator.NewServiceAccount("acme", "https://oauth2.example/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.write("acme.json", string(account.JSON))
	got := pushd(nil, "check-config", "--tenants.dir", c.dir)
	if want := "acme.yaml: fcm: " + filepath.Join(c.dir, "acme.json") + `: token_uri: "oauth2.example" is not Google's`; got.code != exitUsage || !strings.Contains(got.stderr, want) {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
}

func TestFilesInFoldersOfTheTenantsDirectoryAreNotReadSilently(t *testing.T) {
	t.Parallel()
	c := newCustomers(t)
	c.add("acme")
	for _, folder := range []string{"eu", "..data"} { // the second as Kubernetes has it
		if err := os.Mkdir(filepath.Join(c.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		c.write(filepath.Join(folder, "zeta.yaml"), "tenant: zeta\n")
		c.write(filepath.Join(folder, "eta.yaml"), "tenant: eta\n")
	}
	got := pushd(nil, "check-config", "--tenants.dir", c.dir)
	if want := "pushd: the files in " + filepath.Join(c.dir, "eu") + " are not read: only those in " + c.dir + " itself are tenants'\n"; got.code != exitOK || got.stderr != want {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	c.read(false)
	if log := c.logged(); strings.Count(log, "the files of a folder are not read") != 1 {
		t.Errorf("the log is %s", log)
	}
}

func TestCheckConfigRepeatsNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	c := newCustomers(t)
	c.write("acme.yaml", "tenant: acme\npassword: "+secret+"\napns: {password_file: {is: "+secret+"}}\nrate: "+secret+"\nfcm: {service_account: '{\""+secret+"\"'}\n")
	c.write("acme.json", secret)
	c.write("other.yaml", "tenant: other\nfcm: {service_account: acme.json}\napns: "+secret+"\n")
	for _, args := range [][]string{{}, {"--json"}} {
		got := pushd(nil, append([]string{"check-config", "--tenants.dir", c.dir}, args...)...)
		if got.code != exitUsage || strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("exit code %d:\n%s%s", got.code, got.stdout, got.stderr)
		}
	}
	if err := os.Chmod(filepath.Join(c.dir, "acme.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := pushd(nil, "check-config", "--tenants.dir", c.dir); !strings.Contains(got.stderr, "chmod 600") {
		t.Errorf("a secret that others can read:\n%s", got.stderr)
	}
}
