package deploy

import (
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/node"
)

// cutOff is what a node may take after the grace time.
const cutOff = 5 * time.Second

// load reads settings as a container with these variables does; one that isn't known, or wrong, fails the test.
func load(t *testing.T, variables ...map[string]string) node.Config {
	t.Helper()
	var environment []string
	for _, list := range variables {
		for name, value := range list {
			environment = append(environment, name+"="+value)
		}
	}
	return must(node.Load(nil, environment, io.Discard))(t)
}

type composeFile struct {
	Name     string
	Node     any `yaml:"x-node"`
	Services map[string]struct {
		Image, Command, Restart string
		Build                   struct{ Context, Dockerfile string }
		Environment             map[string]string
		DependsOn               any           `yaml:"depends_on"`
		StopGracePeriod         time.Duration `yaml:"stop_grace_period"`
		ReadOnly                bool          `yaml:"read_only"`
		CapDrop                 []string      `yaml:"cap_drop"`
		SecurityOpt             []string      `yaml:"security_opt"`
		Ulimits                 map[string]int
		Volumes, Ports          []string
		Healthcheck             struct {
			Test     string
			Interval time.Duration
			Retries  int
		}
		ShmSize string `yaml:"shm_size"`
	}
	Networks map[string]struct {
		IPAM struct {
			Config []struct{ Subnet netip.Prefix }
		}
	}
	Volumes map[string]any
}

func TestComposeFileFitsWhatItStarts(t *testing.T) {
	var file composeFile
	decode(t, must(os.ReadFile("compose.yaml"))(t), &file)
	image := readDockerfile(t).env
	haproxy := string(must(os.ReadFile("haproxy.cfg"))(t))
	nodes := regexp.MustCompile(`(?m)^ +server (\S+) (\S+):8080$`).FindAllStringSubmatch(haproxy, -1)
	if len(nodes) != 2 {
		t.Fatalf("haproxy.cfg has the nodes %q", nodes)
	}
	for _, n := range nodes {
		service, ok := file.Services[n[2]]
		if !ok {
			t.Fatalf("haproxy.cfg has a node %s that isn't started", n[2])
		}
		c := load(t, image, service.Environment)
		if c.Listen != ":8080" {
			t.Errorf("%s listens on %s", n[2], c.Listen)
		}
		if service.StopGracePeriod < c.Drain.Grace+cutOff {
			t.Errorf("%s is killed after %v, while it drains", n[2], service.StopGracePeriod)
		}
		if c.Drain.Notice <= 2*time.Second || c.Drain.Notice+c.Drain.Spread > c.Drain.Grace {
			t.Errorf("%s drains by %+v, and HAProxy needs 2 s to notice", n[2], c.Drain)
		}
		subnet := file.Networks["default"].IPAM.Config[0].Subnet
		if !slices.Equal(c.TrustedProxies, []netip.Prefix{subnet}) {
			t.Errorf("%s trusts %v, and HAProxy is in %v", n[2], c.TrustedProxies, subnet)
		}
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) {
			t.Errorf("%s may do more than it needs", n[2])
		}
	}
}
