package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
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

// The variables that the unit sets are settings.
func TestTheUnitsEnvironmentIsKnown(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, flag := range newCatalogue().order {
		known[envName(flag.Name)] = true
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		if variable, ok := strings.CutPrefix(strings.TrimPrefix(line, "#"), "Environment="); ok {
			found++
			if name, _, _ := strings.Cut(variable, "="); !known[name] {
				t.Errorf("%s is no setting", name)
			}
		}
	}
	if found < 3 {
		t.Errorf("%d variables were found", found)
	}
}
