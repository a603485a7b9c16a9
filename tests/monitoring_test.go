package tests_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/wippy-cdc/runtime/service/cdc/sink"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/metrics"
)

// figures returns the metrics of the program, each with the labels that it has.
func figures(t *testing.T) map[string][]string {
	t.Helper()
	descs := make(chan *prometheus.Desc, 100)
	metrics.NewCollector(source.NewCatalog(), sink.NewCatalog(sink.Settings{})).Describe(descs)
	close(descs)
	found := make(map[string][]string)
	for desc := range descs {
		parts := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([\w,]*)\}`).FindStringSubmatch(desc.String())
		require.NotNil(t, parts, "%s", desc)
		found[parts[1]] = strings.Split(parts[2], ",")
	}
	require.NotEmpty(t, found)
	return found
}

// checkQuery requires that the metrics of a query exist and have the labels that it selects or groups by, and returns
// their names.
func checkQuery(t *testing.T, query string) []string {
	t.Helper()
	var used []string
	all := figures(t)
	labels := []string{"instance", "job"}
	for _, name := range regexp.MustCompile(`\bwippy_\w+`).FindAllString(query, -1) {
		name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		require.Contains(t, all, name, "there is no such metric: %s", query)
		used, labels = append(used, name), append(labels, all[name]...)
	}
	if strings.Contains(query, "_bucket") {
		labels = append(labels, "le")
	}
	for _, list := range regexp.MustCompile(`\bby \(([\w, ]+)\)`).FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(list[1], ", ") {
			require.Contains(t, labels, label, query)
		}
	}
	for _, label := range regexp.MustCompile(`[{,](\w+)=~?"`).FindAllStringSubmatch(query, -1) {
		require.Contains(t, labels, label[1], query)
	}
	return used
}

func TestAlertsAreOfMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../examples/monitoring/alerts.yml")
	require.NoError(t, err)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(content, &rules))
	require.Len(t, rules.Groups, 1)
	text := document(t, "operations.md")
	var names []string
	for _, rule := range rules.Groups[0].Rules {
		used := checkQuery(t, rule.Expr)
		require.True(t, len(used) > 0 || rule.Alert == "WippyDown", rule.Expr)
		require.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		for _, label := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(rule.Annotations["summary"], -1) {
			require.Contains(t, append(figures(t)[first(used)], "instance"), label[1], rule.Alert)
		}
		names = append(names, rule.Alert)
		require.Contains(t, text, fmt.Sprintf("\n| `%s` |", rule.Alert), "docs/operations.md does not say what to do")
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(Wippy\\w+)` \\|").FindAllStringSubmatch(text, -1) {
		require.Contains(t, names, row[1], "docs/operations.md tells of an alert that there is not")
	}
}

func first(names []string) string { return append(slices.Clone(names), "")[0] }

// The dashboard shows each metric of the program, and no other.
func TestTheDashboardShowsTheMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../examples/monitoring/dashboard.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
			GridPos struct{ X, Y, W, H int }
		}
	}
	require.NoError(t, json.Unmarshal(content, &dashboard))
	taken := make(map[[2]int]string)
	ids := make(map[int]bool)
	var shown []string
	for _, panel := range dashboard.Panels {
		require.False(t, ids[panel.ID], "two panels have the ID %d", panel.ID)
		ids[panel.ID] = true
		for _, target := range panel.Targets {
			shown = append(shown, checkQuery(t, target.Expr)...)
		}
		at := panel.GridPos
		require.LessOrEqual(t, at.X+at.W, 24, panel.Title)
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies on another panel", panel.Title)
				taken[[2]int{x, y}] = panel.Title
			}
		}
	}
	for name := range figures(t) {
		require.Contains(t, shown, name, "no panel shows it")
	}
}
