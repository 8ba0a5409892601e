package deploy

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestThePageNamesEveryFileAndAlert holds README.md to what is here.
func TestThePageNamesEveryFileAndAlert(t *testing.T) {
	page := string(must(os.ReadFile("README.md"))(t))
	for _, f := range must(fs.Glob(os.DirFS("."), "*"))(t) {
		if strings.HasSuffix(f, ".go") || strings.HasSuffix(f, ".dockerignore") || f == "README.md" {
			continue
		}
		if !strings.Contains(page, "| `"+f+"` |") {
			t.Errorf("README.md doesn't say what %s is", f)
		}
	}
	rules := string(must(os.ReadFile("alerts.yaml"))(t))
	severity := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?s)- alert: (\w+)\n.*?severity: (\w+)`).FindAllStringSubmatch(rules, -1) {
		severity[m[1]] = m[2]
	}
	told := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(Natterjack\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(page, -1) {
		told[m[1]] = m[2]
	}
	for name, s := range severity {
		if told[name] != s {
			t.Errorf("README.md says %q of the alert %s, which is a %s", told[name], name, s)
		}
	}
	for name := range told {
		if severity[name] == "" {
			t.Errorf("README.md has the alert %s, which is none", name)
		}
	}
}
