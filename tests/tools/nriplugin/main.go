// Command nriplugin is a plugin of the Node Resource Interface as others write them: on the official stub. It says what it
// hears, a JSON object a line, and adjusts each container as it is told to.
//
//	nriplugin -socket /var/run/nri/nri.sock -idx 10 -name logger [-adjust JSON of a ContainerAdjustment] [-each JSON]
//
// Installed, as NN-name without arguments, it has the adjustment as its configuration.
//
// The plugins of the interface's own repository (logger, device-injector, hook-injector, ulimit-adjuster) are modules
// without versions, which no module proxy has: this one does on its flags what each of them does.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type plugin struct {
	lock   sync.Mutex
	adjust *api.ContainerAdjustment
	// Those of some containers, by their names.
	each map[string]*api.ContainerAdjustment
}

func parsed(text []byte) (*api.ContainerAdjustment, error) {
	adjust := &api.ContainerAdjustment{}
	return adjust, protojson.Unmarshal(text, adjust)
}

// said is a line of the output.
type said struct {
	Event      string   `json:"event"`
	Pod        string   `json:"pod,omitempty"`
	Container  string   `json:"container,omitempty"`
	State      string   `json:"state,omitempty"`
	ExitCode   int32    `json:"exit_code,omitempty"`
	Pods       []string `json:"pods,omitempty"`
	Containers []string `json:"containers,omitempty"`
}

func (p *plugin) say(line said) {
	p.lock.Lock()
	defer p.lock.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

func (p *plugin) container(event string, pod *api.PodSandbox, ctr *api.Container) {
	p.say(said{Event: event, Pod: pod.GetName(), Container: ctr.GetName(), State: ctr.GetState().String(), ExitCode: ctr.GetExitCode()})
}

func (p *plugin) Configure(_ context.Context, config, runtime, version string) (stub.EventMask, error) {
	p.say(said{Event: "Configure", Pod: runtime})
	if config == "" {
		return 0, nil
	}
	adjust, err := parsed([]byte(config))
	p.adjust = adjust
	return 0, err
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, ctrs []*api.Container) ([]*api.ContainerUpdate, error) {
	line := said{Event: "Synchronize"}
	for _, pod := range pods {
		line.Pods = append(line.Pods, pod.GetName())
	}
	for _, ctr := range ctrs {
		line.Containers = append(line.Containers, ctr.GetName())
	}
	p.say(line)
	return nil, nil
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.say(said{Event: "RunPodSandbox", Pod: pod.GetName()})
	return nil
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.say(said{Event: "StopPodSandbox", Pod: pod.GetName()})
	return nil
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.say(said{Event: "RemovePodSandbox", Pod: pod.GetName()})
	return nil
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	p.container("CreateContainer", pod, ctr)
	adjust := p.adjust
	if own, found := p.each[ctr.GetName()]; found {
		adjust = own
	}
	if adjust == nil {
		return nil, nil, nil
	}
	return proto.Clone(adjust).(*api.ContainerAdjustment), nil, nil
}

func (p *plugin) PostCreateContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	p.container("PostCreateContainer", pod, ctr)
	return nil
}

func (p *plugin) StartContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	p.container("StartContainer", pod, ctr)
	return nil
}

func (p *plugin) PostStartContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	p.container("PostStartContainer", pod, ctr)
	return nil
}

func (p *plugin) UpdateContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container, _ *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	p.container("UpdateContainer", pod, ctr)
	return nil, nil
}

func (p *plugin) PostUpdateContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	p.container("PostUpdateContainer", pod, ctr)
	return nil
}

func (p *plugin) StopContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) ([]*api.ContainerUpdate, error) {
	p.container("StopContainer", pod, ctr)
	return nil, nil
}

func (p *plugin) RemoveContainer(_ context.Context, pod *api.PodSandbox, ctr *api.Container) error {
	p.container("RemoveContainer", pod, ctr)
	return nil
}

func run() error {
	socket := flag.String("socket", api.DefaultSocketPath, "where the runtime listens")
	idx := flag.String("idx", "10", "index")
	name := flag.String("name", "test", "name")
	adjust := flag.String("adjust", "", "adjustment of each container, as JSON")
	each := flag.String("each", "{}", "adjustments by name of the container, as JSON")
	flag.Parse()
	p := &plugin{each: map[string]*api.ContainerAdjustment{}}
	if *adjust != "" {
		all, err := parsed([]byte(*adjust))
		if err != nil {
			return err
		}
		p.adjust = all
	}
	var texts map[string]json.RawMessage
	if err := json.Unmarshal([]byte(*each), &texts); err != nil {
		return err
	}
	for name, text := range texts {
		own, err := parsed(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		p.each[name] = own
	}
	options := []stub.Option{stub.WithOnClose(func() { os.Exit(0) })}
	// A runtime that starts a plugin itself says all of that in the environment.
	if os.Getenv(api.PluginSocketEnvVar) == "" {
		options = append(options, stub.WithPluginIdx(*idx), stub.WithPluginName(*name), stub.WithSocketPath(*socket))
	}
	s, err := stub.New(p, options...)
	if err != nil {
		return err
	}
	return s.Run(context.Background())
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
