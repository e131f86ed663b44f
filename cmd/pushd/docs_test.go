package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

const (
	configurationDoc = "../../docs/configuration.md"
	dependenciesDoc  = "../../docs/dependencies.md"
	exampleFile      = "../../pushd.example.yaml"
)

func TestTheConfigurationDocumentIsTheCatalogue(t *testing.T) {
	t.Parallel()
	golden(t, configurationDoc, configurationDocument(newCatalogue()))
}

// configurationDocument is docs/configuration.md.
func configurationDocument(known *catalogue) string {
	var b strings.Builder
	b.WriteString(`# Configuration
<!-- Written by "go test ./cmd/pushd -update" from the settings themselves; a test compares. Do not edit. -->

Every setting is a key of the YAML file, a flag and an environment variable. ` + "`merge.interval`" + ` is

| where | how |
|---|---|
| flag | ` + "`pushd run --merge.interval=30s`" + ` |
| environment | ` + "`PUSHD_MERGE_INTERVAL=30s`" + ` (an empty variable counts as none) |
| file | ` + "`merge:`" + ` and below it ` + "`interval: 30s`" + `; the file is named by ` + "`--config`" + ` or ` + "`PUSHD_CONFIG`" + ` |

A flag goes before the environment, the environment before the file, the file before the default. Durations are a number with its
unit (` + "`500ms`, `30s`, `5m`, `24h`" + `), numbers may have ` + "`_`" + ` between digits, lists are YAML lists or text with commas. Relative paths
begin in the working directory. Secrets are never settings: a setting names the file that holds one.

` + "`pushd check-config --config pushd.yaml`" + ` tells all faults with file and line, those of the tenants' files too; ` + "`pushd config show`" + ` what is in force and where each value comes from.
`)
	title := ""
	for _, flag := range known.order {
		if flag.Group.Title != title {
			title = flag.Group.Title
			fmt.Fprintf(&b, "\n## %s\n\n| setting | default | meaning |\n|---|---|---|\n", title)
		}
		value := "none"
		switch {
		case flag.Default != "":
			value = "`" + flag.Default + "`"
		case flag.IsBool():
			value = "`false`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", flag.Name, value, strings.ReplaceAll(flag.Help, "|", `\|`))
	}
	return b.String()
}

func TestTheExampleFileIsTakenAndShowsEverySetting(t *testing.T) {
	t.Parallel()
	if got := pushd(nil, "config", "show", "-c", exampleFile); got.code != exitOK {
		t.Fatal(got.stderr)
	}
	content, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	// "#interval: 30s", without a space, is a setting with its default; "# ..." is prose.
	whole := regexp.MustCompile(`(?m)^( *)#([a-z0-9_]+:)`).ReplaceAll(content, []byte("$1$2"))
	known := newCatalogue()
	set := parseConfigFile(exampleFile, content, known)
	shown := parseConfigFile(exampleFile, whole, known)
	for _, fault := range shown.faults {
		t.Errorf("with its comments taken away: %v", fault)
	}
	values := taggedDefaults(t)
	for _, flag := range known.order {
		value, ok := shown.values[flag.Name]
		if !ok {
			t.Errorf("%s is not shown", flag.Name)
			continue
		}
		if _, active := set.values[flag.Name]; active {
			continue
		}
		if want := shownDefault(values[flag.Name].Interface(), flag); value.text != want {
			t.Errorf("line %d: %s is shown as %q, the default is %q", value.line, flag.Name, value.text, want)
		}
	}
}

// shownDefault is a default as the example file writes it.
func shownDefault(value any, flag *kong.Flag) string {
	if flag.Default == "" {
		return fmt.Sprint(value)
	}
	return flag.Default
}

func TestEveryDependencyHasItsReason(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(dependenciesDoc)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|]*\\| [^|]{20,} \\|").FindAllStringSubmatch(string(content), -1) {
		rows[row[1]] = true
	}
	required := requiredModules(t)
	direct := map[string]bool{"honnef.co/go/tools": true} // the tool line of go.mod
	for _, pkg := range listPackages(t) {
		for _, imported := range slices.Concat(pkg.Imports, pkg.TestImports, pkg.XTestImports) {
			if module := moduleOf(imported, required); module != "" {
				direct[module] = true
			}
		}
	}
	for module := range direct {
		if !rows[module] {
			t.Errorf("%s is imported, but docs/dependencies.md does not say why", module)
		}
	}
	for module := range rows {
		if !slices.Contains(required, module) {
			t.Errorf("docs/dependencies.md has a row for %s, which go.mod does not require", module)
		}
	}
}

// moduleOf is the module that holds a package: the one with the longest path that covers it.
func moduleOf(imported string, modules []string) string {
	longest := ""
	for _, module := range modules {
		if covers(module, imported) && len(module) > len(longest) {
			longest = module
		}
	}
	return longest
}

// requiredModules are the modules of go.mod.
func requiredModules(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("go mod edit -json: %v", err)
	}
	var mod struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var modules []string
	for _, require := range mod.Require {
		modules = append(modules, require.Path)
	}
	return modules
}
