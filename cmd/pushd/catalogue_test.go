package main

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// units are what a number can be counted in. A duration carries its unit in its value.
var units = regexp.MustCompile(`(?i)per second|bytes|pushes|wakes|event ids|partitions|replicas|connections|streams|entries|records|MiB|MB|devices|messages|files|tries|port|requests|percent|dimensions|days`)

func TestEverySettingIsExplainedWithItsUnit(t *testing.T) {
	t.Parallel()
	variables := map[string]string{}
	for _, flag := range newCatalogue().order {
		switch kind := flag.Target.Kind(); {
		case len(flag.Help) < 10 || !strings.HasSuffix(flag.Help, "."):
			t.Errorf("%s: help %q is not a sentence", flag.Name, flag.Help)
		case flag.Group == nil:
			t.Errorf("%s: belongs to no group; see groups in config.go", flag.Name)
		case flag.Target.Type() == reflect.TypeFor[time.Duration]():
		case (kind == reflect.Int || kind == reflect.Int32 || kind == reflect.Int64 || kind == reflect.Float64) && !units.MatchString(flag.Help):
			t.Errorf("%s: help %q names no unit", flag.Name, flag.Help)
		}
		if other, taken := variables[envName(flag.Name)]; taken {
			t.Errorf("%s and %s have the same variable %s", flag.Name, other, envName(flag.Name))
		}
		variables[envName(flag.Name)] = flag.Name
		if !regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`).MatchString(flag.Name) {
			t.Errorf("%s: is not snake_case joined by dots", flag.Name)
		}
	}
}

func TestNoSettingHoldsASecret(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`password|secret|token|passphrase|credential`)
	for _, flag := range newCatalogue().order {
		_, name := cutLast(flag.Name)
		if flag.Target.Kind() == reflect.String && secret.MatchString(name) && !strings.HasSuffix(name, "_file") && !strings.HasSuffix(name, "_dir") {
			t.Errorf("%s: secrets are given by file only; the name ends in _file", flag.Name)
		}
	}
}

// The tags are what --help and the documentation tell, DefaultConfig is what tests and embedders use.
func TestTheTagsOfEveryPartAreItsDefaultConfig(t *testing.T) {
	t.Parallel()
	want := DefaultConfig()
	taggedValues, wantValues := taggedDefaults(t), settingValues(&want)
	for key, value := range taggedValues {
		if got := wantValues[key]; !reflect.DeepEqual(got.Interface(), value.Interface()) && (value.Kind() != reflect.Slice || value.Len()+got.Len() > 0) {
			t.Errorf("%s: the tag's default is %v, DefaultConfig has %v", key, value, got)
		}
	}
	if err := want.Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// taggedDefaults are the values that the tags say, by key.
func taggedDefaults(t *testing.T) map[string]reflect.Value {
	t.Helper()
	values := map[string]reflect.Value{}
	for _, flag := range newCatalogue().order {
		if err := flag.Reset(); err != nil {
			t.Fatal(err)
		}
		values[flag.Name] = flag.Target
	}
	return values
}

func TestDurationsAreWrittenWithoutEmptyParts(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", 90 * time.Second: "1m30s", time.Minute: "1m", 10 * time.Minute: "10m",
		time.Hour: "1h", 90 * time.Minute: "1h30m", 168 * time.Hour: "168h", 500 * time.Millisecond: "500ms", 10 * time.Hour: "10h",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
		if back, err := time.ParseDuration(want); err != nil || back != d {
			t.Errorf("%s is read as %v (%v), want %v", want, back, err, d)
		}
	}
}
