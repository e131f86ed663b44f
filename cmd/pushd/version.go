package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd is "pushd version".
type versionCmd struct {
	JSON bool `name:"json" help:"As one JSON object." xor:"form"`
	SBOM bool `name:"sbom" help:"The modules that the binary was made of, as a bill of materials (CycloneDX, JSON)." xor:"form"`
}

// build is what this binary was made of, as the Go tool recorded it.
type build struct {
	Version string `json:"version"`         // the module's; "(devel)" where it was not built from a tagged commit
	Commit  string `json:"commit"`          // "unknown" where it was built outside a checkout
	Time    string `json:"time,omitempty"`  // of the commit
	Dirty   bool   `json:"dirty,omitempty"` // the checkout had changes that were not committed
	Go      string `json:"go"`              // of the toolchain
}

// thisBuild reads the build information of the running binary.
func thisBuild() build {
	b := build{Version: "(devel)", Commit: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "vcs.modified":
			b.Dirty = setting.Value == "true"
		}
	}
	return b
}

func (c *versionCmd) Run(p *process) error {
	if c.SBOM {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			return errors.New("the binary does not know what it was made of; build it with modules")
		}
		return writeBOM(p.stdout, info)
	}
	b := thisBuild()
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(b)
	}
	_, err := fmt.Fprintf(p.stdout, "pushd %s (commit %s, %s)\n", b.Version, b.Commit, b.Go)
	return err
}
