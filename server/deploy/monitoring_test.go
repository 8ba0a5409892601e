package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// metricNames finds the names in an expression that are a node's, rather than functions or labels.
var metricNames = regexp.MustCompile(`\b(natterjack|go|process)_[a-z0-9_]+`)

// exported are the names of all metrics of a node that has been used, with all that it may stand on.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	redis := testservers.Redis(t)
	s := startOn(t, testservers.Postgres(t), measured, nodetest.Config(func(c *node.Config) {
		c.RedisURL, c.RedisPrefix = redis, "nj-"+nodetest.UUID()
	}))
	ada, bob := s.SignUp("ada"), s.SignUp("bob")
	must(s.Chat(nodetest.Protocols()[0], ada).CreateConversation(within(t), &chatv1.CreateConversationRequest{
		Kind: chatv1.ConversationKind_CONVERSATION_KIND_DIRECT, MemberIds: []string{bob.ID},
	}))(t)
	names := make(map[string]bool)
	for series := range metrics(t, s) {
		name, _, _ := strings.Cut(series, "{")
		names[name] = true
	}
	return names
}

// checkExpression fails for a metric that no node has.
func checkExpression(t *testing.T, where, expression string, known map[string]bool) {
	t.Helper()
	names := metricNames.FindAllString(expression, -1)
	if len(names) == 0 && !strings.HasPrefix(expression, "up{") {
		t.Errorf("%s: %q has no metric of a node", where, expression)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("%s: no node has the metric %s", where, name)
		}
	}
	if strings.Count(expression, "(") != strings.Count(expression, ")") || strings.Count(expression, "{") != strings.Count(expression, "}") {
		t.Errorf("%s: %q has brackets left open", where, expression)
	}
}

func TestDashboardShowsWhatNodesHave(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Type, Title string
			Targets     []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name string }
		}
	}
	if err := json.Unmarshal(must(os.ReadFile("dashboard.json"))(t), &dashboard); err != nil {
		t.Fatal(err)
	}
	known := exported(t)
	variable := regexp.MustCompile(`\$\w+`)
	shown := make(map[string]bool)
	for _, p := range dashboard.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			checkExpression(t, p.Title, target.Expr, known)
			for _, name := range metricNames.FindAllString(target.Expr, -1) {
				shown[name] = true
			}
			for _, v := range variable.FindAllString(target.Expr, -1) {
				if v != "$__rate_interval" && !slices.ContainsFunc(dashboard.Templating.List, func(l struct{ Name string }) bool { return "$"+l.Name == v }) {
					t.Errorf("%s: there is no variable %s", p.Title, v)
				}
			}
		}
	}
	if len(shown) < 20 {
		t.Errorf("%d metrics are shown", len(shown))
	}
}

func TestAlertsAreAboutWhatNodesHave(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert       string
				Expr        string
				For         time.Duration
				Labels      struct{ Severity string }
				Annotations struct{ Summary, Description string }
			}
		}
	}
	decode(t, must(os.ReadFile("alerts.yaml"))(t), &file)
	known := exported(t)
	seen := make(map[string]bool)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			checkExpression(t, r.Alert, r.Expr, known)
			if seen[r.Alert] || r.Annotations.Summary == "" || r.Annotations.Description == "" || !slices.Contains([]string{"page", "ticket"}, r.Labels.Severity) {
				t.Errorf("%q is there twice, or doesn't say what it means: %+v", r.Alert, r)
			}
			seen[r.Alert] = true
		}
	}
	if len(seen) == 0 {
		t.Error("there are none")
	}
}

// TestReadyMetricFollowsTheDatabase: by it an alert tells that PostgreSQL is away.
func TestReadyMetricFollowsTheDatabase(t *testing.T) {
	database := testservers.StartPostgres(t)
	s := startOn(t, database.URL, measured)
	for _, step := range []struct {
		change func(testing.TB)
		want   float64
	}{{func(testing.TB) {}, 1}, {database.Kill, 0}, {database.Start, 1}} {
		step.change(t)
		faults.Await(t, "ready is what it should be", func() bool { return metrics(t, s)["natterjack_ready"] == step.want })
	}
}
