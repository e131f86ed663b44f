package main

import (
	"bytes"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"
)

func TestTheBillOfMaterialsHasEveryModule(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{
		GoVersion: "go1.26.0",
		Main:      debug.Module{Path: "pushd", Version: "v1.2.3"},
		Deps: []*debug.Module{
			{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:" + strings.Repeat("A", 43) + "="},
			{Path: "example.com/b", Version: "v2.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v2.0.1"}},
		},
	}
	var out bytes.Buffer
	if err := writeBOM(&out, info); err != nil {
		t.Fatal(err)
	}
	var got bom
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Format != "CycloneDX" || got.Spec != "1.6" || got.Version != 1 || got.Metadata.Component.Name != "pushd" || got.Metadata.Component.Version != "v1.2.3" {
		t.Errorf("the head is %+v", got)
	}
	var purls []string
	for _, c := range got.Components {
		purls = append(purls, c.PURL)
	}
	if want := "pkg:golang/std@1.26.0 pkg:golang/example.com/a@v1.0.0 pkg:golang/example.com/fork@v2.0.1"; strings.Join(purls, " ") != want {
		t.Errorf("the components are %v", purls)
	}
	if hashes := got.Components[1].Hashes; len(hashes) != 1 || hashes[0] != (bomHash{"SHA-256", strings.Repeat("0", 64)}) {
		t.Errorf("the hashes are %v", hashes)
	}
	if got := pushd(nil, "version", "--sbom"); got.code != exitOK || !strings.Contains(got.stdout, `"bomFormat": "CycloneDX"`) {
		t.Errorf("version --sbom: %+v", got)
	}
}
