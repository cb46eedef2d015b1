package check

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// A fleet is the Fleet of Agones, without its module: the fields of
// https://agones.dev/site/docs/reference/agones_crd_api_reference/ that one may write.
type fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Replicas   int32  `json:"replicas"`
		Scheduling string `json:"scheduling"` // Packed or Distributed
		Strategy   struct {
			Type          string `json:"type"` // Recreate or RollingUpdate
			RollingUpdate struct {
				MaxSurge       intstr.IntOrString `json:"maxSurge"`
				MaxUnavailable intstr.IntOrString `json:"maxUnavailable"`
			} `json:"rollingUpdate"`
		} `json:"strategy"`
		Template struct {
			metav1.ObjectMeta `json:"metadata"`
			Spec              struct {
				Container string `json:"container"`
				Ports     []struct {
					Name          string `json:"name"`
					PortPolicy    string `json:"portPolicy"` // Dynamic, Static, Passthrough or None
					Container     string `json:"container"`
					ContainerPort int32  `json:"containerPort"`
					HostPort      int32  `json:"hostPort"`
					Protocol      string `json:"protocol"` // UDP, TCP or TCPUDP
				} `json:"ports"`
				Health struct {
					Disabled            bool  `json:"disabled"`
					InitialDelaySeconds int32 `json:"initialDelaySeconds"`
					PeriodSeconds       int32 `json:"periodSeconds"`
					FailureThreshold    int32 `json:"failureThreshold"`
				} `json:"health"`
				SdkServer struct {
					LogLevel string `json:"logLevel"` // Error, Info, Debug or Trace
					GRPCPort int32  `json:"grpcPort"`
					HTTPPort int32  `json:"httpPort"`
				} `json:"sdkServer"`
				Template corev1.PodTemplateSpec `json:"template"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// A fleetAutoscaler is the FleetAutoscaler of Agones, with the policy Buffer.
type fleetAutoscaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		FleetName string `json:"fleetName"`
		Policy    struct {
			Type   string `json:"type"`
			Buffer struct {
				BufferSize  intstr.IntOrString `json:"bufferSize"`
				MinReplicas int32              `json:"minReplicas"`
				MaxReplicas int32              `json:"maxReplicas"`
			} `json:"buffer"`
		} `json:"policy"`
	} `json:"spec"`
}

// objects decodes all objects of a file. A field that the type does not have, or has twice, is an error.
func objects(t *testing.T, file string) (all []any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for doc := range bytes.SplitSeq(b, []byte("\n---\n")) {
		var is metav1.TypeMeta
		if err := yaml.Unmarshal(doc, &is); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		of := map[string]any{
			"apps/v1 Deployment":                        new(appsv1.Deployment),
			"apps/v1 DaemonSet":                         new(appsv1.DaemonSet),
			"apps/v1 StatefulSet":                       new(appsv1.StatefulSet),
			"v1 ConfigMap":                              new(corev1.ConfigMap),
			"networking.k8s.io/v1 NetworkPolicy":        new(networkingv1.NetworkPolicy),
			"v1 Service":                                new(corev1.Service),
			"networking.k8s.io/v1 Ingress":              new(networkingv1.Ingress),
			"autoscaling/v2 HorizontalPodAutoscaler":    new(autoscalingv2.HorizontalPodAutoscaler),
			"policy/v1 PodDisruptionBudget":             new(policyv1.PodDisruptionBudget),
			"agones.dev/v1 Fleet":                       new(fleet),
			"autoscaling.agones.dev/v1 FleetAutoscaler": new(fleetAutoscaler),
		}[is.APIVersion+" "+is.Kind]
		if of == nil {
			t.Errorf("%s: there is no %s %s", file, is.APIVersion, is.Kind)
			continue
		}
		if err := yaml.UnmarshalStrict(doc, of); err != nil {
			t.Errorf("%s, %s: %v", file, is.Kind, err)
		}
		all = append(all, of)
	}
	return all
}

// The objects have only fields that Kubernetes and Agones know, and refer to each other: selectors find the pods, names of
// ports exist, and what an autoscaler scales is there.
func TestKubernetes(t *testing.T) {
	files, _ := filepath.Glob("../kubernetes/*.yaml")
	agones, _ := filepath.Glob("../agones/*.yaml")
	if len(files) == 0 || len(agones) == 0 {
		t.Fatal("there are no files")
	}
	for _, file := range append(files, agones...) {
		all := objects(t, file)
		pods := make(map[string]*corev1.PodTemplateSpec) // by kind and name
		for _, o := range all {
			switch o := o.(type) {
			case *appsv1.Deployment:
				pods["Deployment "+o.Name] = &o.Spec.Template
				selects(t, file, o.Spec.Selector, o.Spec.Template.Labels)
			case *appsv1.DaemonSet:
				pods["DaemonSet "+o.Name] = &o.Spec.Template
				selects(t, file, o.Spec.Selector, o.Spec.Template.Labels)
			case *appsv1.StatefulSet:
				pods["StatefulSet "+o.Name] = &o.Spec.Template
				selects(t, file, o.Spec.Selector, o.Spec.Template.Labels)
			case *fleet:
				pods["Fleet "+o.Name] = &o.Spec.Template.Spec.Template
			}
		}
		for name, pod := range pods {
			checkPod(t, file+", "+name, pod)
		}
		services := make(map[string]*corev1.Service)
		for _, o := range all {
			switch o := o.(type) {
			case *corev1.Service:
				services[o.Name] = o
				checkService(t, file, o, pods)
			case *networkingv1.NetworkPolicy:
				checkPolicy(t, file, o, pods)
			case *autoscalingv2.HorizontalPodAutoscaler:
				if pods[o.Spec.ScaleTargetRef.Kind+" "+o.Spec.ScaleTargetRef.Name] == nil {
					t.Errorf("%s: nothing is scaled by %s", file, o.Name)
				}
			case *policyv1.PodDisruptionBudget:
				if !slices.ContainsFunc(values(pods), func(p *corev1.PodTemplateSpec) bool { return matches(t, o.Spec.Selector, p.Labels) }) {
					t.Errorf("%s: the budget %s is for no pods", file, o.Name)
				}
			case *fleetAutoscaler:
				if pods["Fleet "+o.Spec.FleetName] == nil {
					t.Errorf("%s: nothing is scaled by %s", file, o.Name)
				}
			}
		}
		for _, o := range all {
			if in, ok := o.(*networkingv1.Ingress); ok {
				checkIngress(t, file, in, services)
			}
		}
	}
}

func values(m map[string]*corev1.PodTemplateSpec) (all []*corev1.PodTemplateSpec) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

func matches(t *testing.T, s *metav1.LabelSelector, have map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(have))
}

func selects(t *testing.T, file string, s *metav1.LabelSelector, have map[string]string) {
	t.Helper()
	if !matches(t, s, have) {
		t.Errorf("%s: a selector does not select its own pods", file)
	}
}

func hasPort(pod *corev1.PodTemplateSpec, name string, protocol corev1.Protocol) bool {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name && (p.Protocol == protocol || p.Protocol == "" && protocol == corev1.ProtocolTCP) {
				return true
			}
		}
	}
	return false
}

// checkPod expects that a pod runs without root, that its probes ask ports that there are, and that its variables are
// those of the program.
func checkPod(t *testing.T, what string, pod *corev1.PodTemplateSpec) {
	t.Helper()
	for _, c := range pod.Spec.Containers {
		for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			if p != nil && !hasPort(pod, p.HTTPGet.Port.String(), corev1.ProtocolTCP) {
				t.Errorf("%s: a probe asks the port %v, which is not there", what, p.HTTPGet.Port.String())
			}
		}
		for _, v := range c.Env {
			wantVariable(t, what, v.Name)
		}
		if s := c.SecurityContext; s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Errorf("%s: the container may get privileges or write to its image", what)
		}
		for _, m := range c.VolumeMounts {
			if !slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
				t.Errorf("%s: there is no volume %s", what, m.Name)
			}
		}
	}
	if s := pod.Spec.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot {
		t.Errorf("%s: the pod may run as root", what)
	}
}

func checkService(t *testing.T, file string, s *corev1.Service, pods map[string]*corev1.PodTemplateSpec) {
	t.Helper()
	for _, port := range s.Spec.Ports {
		protocol := port.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		found := slices.ContainsFunc(values(pods), func(p *corev1.PodTemplateSpec) bool {
			return labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.Labels)) && hasPort(p, port.TargetPort.String(), protocol)
		})
		if !found {
			t.Errorf("%s: no pod has the port %s of the Service %s", file, port.TargetPort.String(), s.Name)
		}
	}
}

// checkPolicy expects that a policy is for a pod, and that each port that it names is one of the pod.
func checkPolicy(t *testing.T, file string, o *networkingv1.NetworkPolicy, pods map[string]*corev1.PodTemplateSpec) {
	t.Helper()
	found := false
	for _, pod := range pods {
		if !matches(t, &o.Spec.PodSelector, pod.Labels) {
			continue
		}
		found = true
		for _, rule := range o.Spec.Ingress {
			for _, p := range rule.Ports {
				protocol := corev1.ProtocolTCP
				if p.Protocol != nil {
					protocol = *p.Protocol
				}
				if !hasPort(pod, p.Port.String(), protocol) {
					t.Errorf("%s: the policy %s names the port %s, which the pod does not have", file, o.Name, p.Port.String())
				}
			}
		}
	}
	if !found {
		t.Errorf("%s: the policy %s is for no pods", file, o.Name)
	}
}

// The relays take their flags and the file of the ConfigMap. The numbers and names of the nodes are those of the StatefulSet's pods, and the
// pods tell players the address of the relays' Service.
func TestKubernetesRelay(t *testing.T) {
	const file = "../kubernetes/relay.yaml"
	var nodes string
	var relays *appsv1.DaemonSet
	var games *appsv1.StatefulSet
	services := make(map[string]*corev1.Service)
	for _, o := range objects(t, file) {
		switch o := o.(type) {
		case *corev1.ConfigMap:
			nodes = o.Data["nodes"]
		case *appsv1.DaemonSet:
			relays = o
		case *appsv1.StatefulSet:
			games = o
		case *corev1.Service:
			services[o.Name] = o
		}
	}
	names := services[games.Spec.ServiceName]
	if names == nil || names.Spec.ClusterIP != corev1.ClusterIPNone || !names.Spec.PublishNotReadyAddresses {
		t.Fatalf("the Service %s does not give each pod a name", games.Spec.ServiceName)
	}
	lines := strings.Split(strings.TrimSpace(nodes), "\n")
	if len(lines) < int(*games.Spec.Replicas) {
		t.Errorf("%d pods, but %d nodes", *games.Spec.Replicas, len(lines))
	}
	for i, line := range lines {
		number := int(games.Spec.Ordinals.Start) + i
		if want := fmt.Sprintf("%d %s-%d.%s.default.svc.cluster.local:7777", number, games.Name, number, names.Name); line != want || number == 0 {
			t.Errorf("node %d is %q, want %q", i, line, want)
		}
	}
	for _, v := range games.Spec.Template.Spec.Containers[0].Env {
		if to := services["relay"].Spec; v.Name == "GODWIT_PUBLIC" && v.Value != fmt.Sprintf("%s:%d", to.LoadBalancerIP, to.Ports[0].Port) {
			t.Errorf("players get the address %s, which is not that of the Service of the relays", v.Value)
		}
	}

	// The program runs with these arguments, with other ports and places.
	c := relays.Spec.Template.Spec.Containers[0]
	place := ""
	for _, m := range c.VolumeMounts {
		place = m.MountPath
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "godwit-relay")
	build := exec.Command("go", "build", "-o", program, "./cmd/godwit-relay")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write(t, dir, "nodes", "1 127.0.0.1:7777\n")
	var args []string
	for _, a := range c.Args {
		a = strings.NewReplacer("$(MACHINE):7776", "127.0.0.1:0", "$(MACHINE):9091", "127.0.0.1:0", ":7777", "127.0.0.1:0", place, dir).Replace(a)
		args = append(args, a)
	}
	cmd := exec.Command(program, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, "nodes=1") {
		t.Errorf("with %q the relay says %q, %v", args, line, err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
}

func checkIngress(t *testing.T, file string, in *networkingv1.Ingress, services map[string]*corev1.Service) {
	t.Helper()
	for _, rule := range in.Spec.Rules {
		for _, path := range rule.HTTP.Paths {
			to := path.Backend.Service
			s := services[to.Name]
			if s == nil || !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == to.Port.Name }) {
				t.Errorf("%s: the Ingress leads to %s, port %s, which is not there", file, to.Name, to.Port.Name)
			}
		}
	}
}
