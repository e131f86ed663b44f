package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const unitFile = "../../docs/pushd.service"

func TestTheUnitKeepsTheProcessApart(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"DynamicUser=yes", "StateDirectoryMode=0700", "LimitCORE=0", "LimitNOFILE=65536", "MemoryMax=4G", "NoNewPrivileges=yes", "CapabilityBoundingSet=",
		"ProtectSystem=strict", "PrivateTmp=yes", "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "SystemCallFilter=@system-service", "MemoryDenyWriteExecute=yes",
	} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the unit has no line %q", line)
		}
	}
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("the exposure is not measured: there is no systemd-analyze here")
	}
	if out, err := exec.Command(tool, "security", "--offline=yes", "--no-pager", "--threshold=15", unitFile).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A panic of Go's ends with the exit code of a faulty configuration, so the unit restarts both; what fails at once again and
// again is given up. One start and the pause behind it are RestartSec at least.
func TestTheUnitRestartsWhateverTheExitCodeAndNotForEver(t *testing.T) {
	t.Parallel()
	unit := unitLines(t)
	if unit["Restart"] != "always" || unit["RestartPreventExitStatus"] != "" || unit["ExecStartPre"] != "" {
		t.Errorf("Restart=%s, RestartPreventExitStatus=%s, ExecStartPre=%s", unit["Restart"], unit["RestartPreventExitStatus"], unit["ExecStartPre"])
	}
	pause, err1 := time.ParseDuration(unit["RestartSec"])
	burst, err2 := strconv.Atoi(unit["StartLimitBurst"])
	within, err3 := time.ParseDuration(strings.TrimSuffix(unit["StartLimitIntervalSec"], "in")) // min is m in Go
	if err := errors.Join(err1, err2, err3); err != nil || time.Duration(burst)*pause > within/2 {
		t.Errorf("%d starts every %v are not %d within %v: %v", burst, pause, burst, within, err)
	}
}

// "check-config" in a shell looks at what the service will be: what the unit sets is the file that only it hands over.
func TestTheUnitSetsNothingThatAShellDoesNotHave(t *testing.T) {
	t.Parallel()
	for _, line := range unitText(t) {
		if variable, ok := strings.CutPrefix(line, "Environment="); ok {
			t.Errorf("the unit sets %s", variable)
		}
	}
	if unit := unitLines(t); unit["StateDirectory"] != "pushd" || !strings.HasPrefix(DefaultConfig().Store.Dir, "/var/lib/pushd/") {
		t.Errorf("StateDirectory=%s, and the ledger's default is %s", unit["StateDirectory"], DefaultConfig().Store.Dir)
	}
}

func unitText(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

// unitLines are the unit's lines by name; of several the last.
func unitLines(t *testing.T) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for _, line := range unitText(t) {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			lines[name] = value
		}
	}
	return lines
}

// The variables that the unit sets, or would, are settings.
func TestTheUnitsEnvironmentIsKnown(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, flag := range newCatalogue().order {
		known[envName(flag.Name)] = true
	}
	found := 0
	for _, line := range unitText(t) {
		if variable, ok := strings.CutPrefix(strings.TrimPrefix(line, "#"), "Environment="); ok {
			found++
			if name, _, _ := strings.Cut(variable, "="); !known[name] {
				t.Errorf("%s is no setting", name)
			}
		}
	}
	if found == 0 {
		t.Error("no variable was found")
	}
}
