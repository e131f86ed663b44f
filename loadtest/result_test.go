package main

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// numbered gives every field of a result a value of its own, so that each is seen where it is shown.
func numbered(v reflect.Value, next *float64) {
	*next += 1.5
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			numbered(v.Field(i), next)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			numbered(v.Index(i), next)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text-%g", *next))
	case reflect.Bool:
		v.SetBool(false)
	case reflect.Float64:
		v.SetFloat(7000 + *next)
	case reflect.Uint64:
		v.SetUint(uint64(7000 + 3**next))
	default:
		v.SetInt(int64(7000 + 3**next))
	}
}

// leaves are the numbers and texts of a JSON value.
func leaves(v any) []any {
	var all []any
	switch v := v.(type) {
	case map[string]any:
		for _, part := range v {
			all = append(all, leaves(part)...)
		}
	case []any:
		for _, part := range v {
			all = append(all, leaves(part)...)
		}
	case float64, string:
		all = append(all, v)
	}
	return all
}

func TestTheTableHasEveryNumberOfTheJSON(t *testing.T) {
	t.Parallel()
	var res Result
	numbered(reflect.ValueOf(&res).Elem(), new(float64))
	if n := shows(t, &res); n < 80 {
		t.Errorf("only %d values", n)
	}
}

// shows holds the table of an outcome against its JSON, and returns how many values that has.
func shows(t *testing.T, res outcome) int {
	t.Helper()
	var text, table strings.Builder
	if err := (&command{JSON: true}).show(&text, res); err != nil {
		t.Fatal(err)
	}
	if err := (&command{}).show(&table, res); err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal([]byte(text.String()), &tree); err != nil {
		t.Fatal(err)
	}
	all := leaves(tree)
	for _, leaf := range all {
		if !strings.Contains(table.String(), fmt.Sprint(leaf)) {
			t.Errorf("%v is in the JSON and not in the table:\n%s", leaf, table.String())
		}
	}
	return len(all)
}

func TestTheReportIsWholeAndLoadsNothing(t *testing.T) {
	t.Parallel()
	var res Result
	numbered(reflect.ValueOf(&res).Elem(), new(float64))
	path := filepath.Join(t.TempDir(), "report.html")
	c := &command{JSON: true, Report: path}
	if err := c.files.open(c); err != nil {
		t.Fatal(err)
	}
	if err := c.show(io.Discard, &res); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for _, f := range res.facts() {
		if !strings.Contains(text, template.HTMLEscapeString(f.Number)) || !strings.Contains(text, template.HTMLEscapeString(f.Means)) {
			t.Errorf("%+v is not in the report", f)
		}
	}
	for _, c := range res.Checks {
		if !strings.Contains(text, c.What) || !strings.Contains(text, c.Got) {
			t.Errorf("%+v is not in the report", c)
		}
	}
	if n := strings.Count(text, "<svg"); n != len(res.plots()) || n < 6 {
		t.Errorf("%d plots, and the result has %d", n, len(res.plots()))
	}
	for _, outside := range []string{"http:", "https:", "<script", "<link", "src=", "url("} {
		if strings.Contains(text, outside) {
			t.Errorf("the report has %s in it", outside)
		}
	}
}

func TestMomentsPutTogetherKeepTheWorstAndTheLast(t *testing.T) {
	t.Parallel()
	few := thin([]Moment{
		{Second: 0, Published: 10, Events: 3, P99: 7, Open: 9, Cores: 1}, {Second: 1, Published: 20, Events: 4, P99: 5, Open: 2, Cores: .5}, {Second: 2, Published: 3, Open: 1},
	}, 2)
	want := []Moment{{Second: 0, Published: 15, Events: 7, P99: 7, Open: 2, Cores: .75}, {Second: 2, Published: 3, Open: 1}}
	if !reflect.DeepEqual(few, want) {
		t.Errorf("%+v", few)
	}
}

func TestASwapIsJudgedByWhenItWasSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		swap Swap
		want bool
	}{
		{Swap{SeenS: 4.9}, true}, {Swap{SeenS: 5.1}, false}, {Swap{SeenS: -1}, false},
		{Swap{SeenS: -1, Refused: true}, true}, {Swap{SeenS: 1, Refused: true}, false},
	} {
		if got := c.swap.check(5 * time.Second).Passed; got != c.want {
			t.Errorf("%+v: passed %v", c.swap, got)
		}
	}
}

func TestASparklineHasItsHighestBlockWhereMostIs(t *testing.T) {
	t.Parallel()
	if got := sparkline([]float64{0, 1, 50, 100}); got != ".▁▅█" {
		t.Error(got)
	}
	if got := sparkline([]float64{0, 0}); got != ".." {
		t.Error(got)
	}
}

func TestAnAccountIsBalancedOnlyIfAScrapeOfNearlyEachSecondSaysSo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		scrapes Scrapes
		want    bool
	}{
		{Scrapes{Count: 3}, true}, {Scrapes{}, false}, {Scrapes{Count: 1, Least: 20}, false}, {Scrapes{Count: 20, Least: 20}, true}, {Scrapes{Count: 3, Failed: 1}, false}, {Scrapes{Count: 3, WorstImbalance: -1}, false},
	} {
		if c.scrapes.balanced() != c.want {
			t.Errorf("%+v: balanced %v", c.scrapes, !c.want)
		}
	}
}
