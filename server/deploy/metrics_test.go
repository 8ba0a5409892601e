package deploy

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// measured makes a node serve its metrics.
var measured = nodetest.Config(func(c *node.Config) { c.MetricsListen = "127.0.0.1:0" })

// metrics reads a node's figures, by name and labels as they stand in its answer: natterjack_hub_streams, or x_bucket{le="1"}.
func metrics(t *testing.T, s *nodetest.Server) map[string]float64 {
	t.Helper()
	r := must(http.NewRequestWithContext(within(t), http.MethodGet, s.Node.MetricsURL(), nil))(t)
	answer := must(s.HTTP(true).Do(r))(t)
	defer answer.Body.Close()
	values := make(map[string]float64)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		end := strings.LastIndexByte(lines.Text(), ' ') // labels may have spaces too
		values[lines.Text()[:end]] = must(strconv.ParseFloat(lines.Text()[end+1:], 64))(t)
	}
	return values
}
