package deploy

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

// header is what all objects of Kubernetes begin with.
type header struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   metadata
}

type metadata struct {
	Name                string
	Labels, Annotations map[string]string
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

// deployment has the fields of a Deployment that the example uses, so that a wrong name is found.
type deployment struct {
	header `yaml:",inline"`
	Spec   struct {
		Replicas int
		Selector selector
		Strategy struct {
			RollingUpdate struct {
				MaxSurge       int `yaml:"maxSurge"`
				MaxUnavailable int `yaml:"maxUnavailable"`
			} `yaml:"rollingUpdate"`
		}
		MinReadySeconds int `yaml:"minReadySeconds"`
		Template        struct {
			Metadata metadata
			Spec     pod
		}
	}
}

type pod struct {
	TerminationGracePeriodSeconds int  `yaml:"terminationGracePeriodSeconds"`
	AutomountServiceAccountToken  bool `yaml:"automountServiceAccountToken"`
	SecurityContext               struct {
		RunAsNonRoot   bool `yaml:"runAsNonRoot"`
		RunAsUser      int  `yaml:"runAsUser"`
		RunAsGroup     int  `yaml:"runAsGroup"`
		SeccompProfile any  `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	TopologySpreadConstraints []struct {
		MaxSkew           int      `yaml:"maxSkew"`
		TopologyKey       string   `yaml:"topologyKey"`
		WhenUnsatisfiable string   `yaml:"whenUnsatisfiable"`
		LabelSelector     selector `yaml:"labelSelector"`
	} `yaml:"topologySpreadConstraints"`
	Containers []struct {
		Name, Image string
		Args        []string
		EnvFrom     []map[string]struct{ Name string } `yaml:"envFrom"`
		Ports       []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		StartupProbe    probe `yaml:"startupProbe"`
		LivenessProbe   probe `yaml:"livenessProbe"`
		ReadinessProbe  probe `yaml:"readinessProbe"`
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext struct {
			AllowPrivilegeEscalation bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
			Capabilities             any
		} `yaml:"securityContext"`
	}
}

type probe struct {
	HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
	PeriodSeconds    int                         `yaml:"periodSeconds"`
	TimeoutSeconds   int                         `yaml:"timeoutSeconds"`
	FailureThreshold int                         `yaml:"failureThreshold"`
}

func TestKubernetesExampleFitsWhatItStarts(t *testing.T) {
	var (
		variables = make(map[string]string)
		app       *deployment
		kinds     []string
	)
	for documents := yaml.NewDecoder(bytes.NewReader(must(os.ReadFile("kubernetes.yaml"))(t))); ; {
		var document yaml.Node
		if err := documents.Decode(&document); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		text := must(yaml.Marshal(&document))(t)
		var is struct{ Kind string }
		if err := yaml.Unmarshal(text, &is); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, is.Kind)
		switch is.Kind {
		case "Secret", "ConfigMap":
			var values struct {
				header     `yaml:",inline"`
				Data       map[string]string
				StringData map[string]string `yaml:"stringData"`
			}
			decode(t, text, &values)
			maps.Copy(variables, values.Data)
			maps.Copy(variables, values.StringData)
		case "Deployment":
			app = new(deployment)
			decode(t, text, app)
		}
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []string{"ConfigMap", "Deployment", "PodDisruptionBudget", "Secret", "Service"}) {
		t.Fatalf("it makes %q", kinds)
	}
	for _, labels := range []map[string]string{app.Spec.Selector.MatchLabels, app.Spec.Template.Metadata.Labels} {
		if labels["app"] != app.Metadata.Name {
			t.Errorf("the labels are %v", labels)
		}
	}
	c := load(t, readDockerfile(t).env, variables)
	pod := app.Spec.Template.Spec
	if grace := time.Duration(pod.TerminationGracePeriodSeconds) * time.Second; grace < c.Drain.Grace+cutOff {
		t.Errorf("a node is killed after %v, while it drains", grace)
	}
	if c.Drain.Notice+c.Drain.Spread > c.Drain.Grace {
		t.Errorf("a node drains by %+v", c.Drain)
	}
	container := pod.Containers[0]
	ports := make(map[string]int)
	for _, p := range container.Ports {
		ports[p.Name] = p.ContainerPort
	}
	if c.Listen != ":8080" || ports["chat"] != 8080 || c.MetricsListen != ":9090" || ports["metrics"] != 9090 || app.Spec.Template.Metadata.Annotations["prometheus.io/port"] != "9090" {
		t.Errorf("a node listens on %s and %s, and its ports are %v", c.Listen, c.MetricsListen, ports)
	}
	if !pod.SecurityContext.RunAsNonRoot || !container.SecurityContext.ReadOnlyRootFilesystem || container.SecurityContext.AllowPrivilegeEscalation {
		t.Error("a node may do more than it needs")
	}
	s := nodetest.Start(t)
	for name, p := range map[string]probe{"startup": container.StartupProbe, "liveness": container.LivenessProbe, "readiness": container.ReadinessProbe} {
		answer := must(s.HTTP(true).Do(must(http.NewRequestWithContext(within(t), http.MethodGet, s.URL+p.HTTPGet.Path, nil))(t)))(t)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") || p.HTTPGet.Port != "chat" {
			t.Errorf("the %s probe asks %+v, which is answered %s", name, p.HTTPGet, answer.Status)
		}
	}
	if drains := time.Duration(container.ReadinessProbe.PeriodSeconds*container.ReadinessProbe.FailureThreshold) * time.Second; drains > c.Drain.Notice {
		t.Errorf("that a node drains is noticed after %v, and the node waits %v", drains, c.Drain.Notice)
	}
}
