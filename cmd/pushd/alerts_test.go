package main

import (
	"go/ast"
	"go/token"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"go.yaml.in/yaml/v3"
)

const alertsFile = "../../docs/alerts.yaml"

var expiresWithin = regexp.MustCompile(`pushd_credential_expiry_timestamp_seconds - time\(\) < (\d+ \* |)86400$`)

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
	days := map[string]bool{} // before the end of a certificate; "" is one
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			for _, metric := range regexp.MustCompile(`pushd_\w+`).FindAllString(rule.Expr, -1) {
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
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not there: the expressions are not parsed")
		return
	}
	if says, err := exec.Command(promtool, "check", "rules", alertsFile).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, says)
	}
}
