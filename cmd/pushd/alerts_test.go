package main

import (
	"go/ast"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const alertsFile = "../../docs/alerts.yaml"

var expiresWithin = regexp.MustCompile(`pushd_credential_expiry_timestamp_seconds - time\(\) < (\d+ \* |)86400$`)

// watchedOnly are metrics of README's table that no rule is about, and why.
var watchedOnly = map[string]string{
	"pushd_end_to_end_seconds": "what was promised, only the operator knows",
	"pushd_events_open":        "it is read to see where events are",
	"pushd_holds":              "it counts the events of the credentials in pushd_credentials_refused",
}

// tabled are the metrics of the table in README.md: those of its first column.
func tabled(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?pushd_.*?) \| [^|]+ \| [^|]+ \|$`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, metricName.FindAllString(row[1], -1)...)
	}
	return names
}

var metricName = regexp.MustCompile(`pushd_\w+`)

func TestTheAlertsAreAboutMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	eachSourceFile(t, func(_ string, _ *token.FileSet, file *ast.File) {
		ast.Inspect(file, func(node ast.Node) bool {
			if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				name, _ := strconv.Unquote(literal.Value)
				known[name] = true
			}
			return true
		})
	})
	alerted := map[string]bool{}
	days := map[string]bool{} // before the end of a certificate; "" is one
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			for _, metric := range metricName.FindAllString(rule.Expr, -1) {
				metric = strings.TrimSuffix(metric, "_bucket") // of a histogram
				alerted[metric] = true
				if !known[metric] {
					t.Errorf("%s: there is no metric %s", rule.Alert, metric)
				}
			}
			if rule.Annotations["summary"] == "" {
				t.Errorf("%s has no summary", rule.Alert)
			}
			if ends := expiresWithin.FindStringSubmatch(rule.Expr); ends != nil {
				days[ends[1]] = true
			}
		}
	}
	if len(days) != 3 || !days["30 * "] || !days["7 * "] || !days[""] {
		t.Errorf("certificates are alerted of %v days before they end, want 30, 7 and 1", days)
	}
	tabled := tabled(t)
	if len(tabled) < 30 {
		t.Errorf("README's table has only the metrics %v", tabled)
	}
	for _, metric := range tabled {
		if !known[metric] {
			t.Errorf("README's table: there is no metric %s", metric)
		}
		if !alerted[metric] && watchedOnly[metric] == "" {
			t.Errorf("no rule is about %s", metric)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not there: the expressions are not parsed")
		return
	}
	if says, err := exec.Command(promtool, "check", "rules", alertsFile).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, says)
	}
}
