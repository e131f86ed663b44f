package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// bom is a software bill of materials: CycloneDX 1.6, as far as a Go binary knows what it was made of.
type bom struct {
	Format     string         `json:"bomFormat"`
	Spec       string         `json:"specVersion"`
	Version    int            `json:"version"`
	Metadata   bomMetadata    `json:"metadata"`
	Components []bomComponent `json:"components"`
}

type bomMetadata struct {
	Component bomComponent `json:"component"`
}

type bomComponent struct {
	Type    string    `json:"type"`
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"`
	PURL    string    `json:"purl,omitempty"`
	Hashes  []bomHash `json:"hashes,omitempty"`
}

type bomHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// writeBOM writes the bill of a binary: what the linker took, and not what go.mod lists. Its hashes are those of go.sum
// ("h1:", a SHA-256 over the module's files), by which the Go tool has verified each module.
func writeBOM(w io.Writer, info *debug.BuildInfo) error {
	list := bom{
		Format: "CycloneDX", Spec: "1.6", Version: 1,
		Metadata:   bomMetadata{bomComponent{Type: "application", Name: info.Main.Path, Version: info.Main.Version}},
		Components: []bomComponent{{Type: "library", Name: "std", Version: info.GoVersion, PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}},
	}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		component := bomComponent{
			Type: "library", Name: module.Path, Version: module.Version, PURL: fmt.Sprintf("pkg:golang/%s@%s", module.Path, module.Version),
		}
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(module.Sum, "h1:")); err == nil && len(sum) > 0 {
			component.Hashes = []bomHash{{"SHA-256", hex.EncodeToString(sum)}}
		}
		list.Components = append(list.Components, component)
	}
	return printJSON(w, list)
}
