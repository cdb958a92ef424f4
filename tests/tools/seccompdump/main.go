// Command seccompdump prints containerd's default seccomp profile as JSON, one line of text per rule, and what changes in
// it with each capability.
//
// peapod's own default filter is compared with it (src/spec/src/tests/seccomp.rs); the checked-in output is
// src/spec/golden/containerd-seccomp.json. A difference between the two after an update of containerd in go.mod means
// that somebody has to look:
//
//	go run ./seccompdump | diff ../../src/spec/golden/containerd-seccomp.json -
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// capabilities are those that change the profile.
var capabilities = []string{
	"CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYSLOG",
	"CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
}

type change struct {
	Added   []string `json:"added"`
	Removed []string `json:"removed"`
}

type dump struct {
	Arch          string            `json:"arch"`
	DefaultAction string            `json:"defaultAction"`
	Architectures []string          `json:"architectures"`
	Rules         []string          `json:"rules"`
	With          map[string]change `json:"with"`
}

func main() {
	plain := profile()
	base := lines(plain)
	out := dump{
		Arch:          runtime.GOARCH,
		DefaultAction: action(plain.DefaultAction, plain.DefaultErrnoRet),
		Rules:         base,
		With:          map[string]change{},
	}
	for _, arch := range plain.Architectures {
		out.Architectures = append(out.Architectures, string(arch))
	}
	for _, capability := range capabilities {
		with := lines(profile(capability))
		out.With[capability] = change{Added: minus(with, base), Removed: minus(base, with)}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, "seccompdump:", err)
		os.Exit(1)
	}
}

// profile asks containerd; it looks at the bounding set alone.
func profile(bounding ...string) *specs.LinuxSeccomp {
	return seccomp.DefaultProfile(&specs.Spec{
		Linux:   &specs.Linux{},
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: bounding}},
	})
}

// lines flattens the rules to "name action [arg0 op value …]", sorted, each once.
func lines(profile *specs.LinuxSeccomp) []string {
	seen := map[string]bool{}
	for _, rule := range profile.Syscalls {
		end := " " + action(rule.Action, rule.ErrnoRet)
		for _, arg := range rule.Args {
			end += fmt.Sprintf(" arg%d %s 0x%x 0x%x", arg.Index, arg.Op, arg.Value, arg.ValueTwo)
		}
		for _, name := range rule.Names {
			seen[name+end] = true
		}
	}
	all := make([]string, 0, len(seen))
	for line := range seen {
		all = append(all, line)
	}
	sort.Strings(all)
	return all
}

// action names an action with its errno; without one the runtimes answer EPERM.
func action(action specs.LinuxSeccompAction, errno *uint) string {
	if action != specs.ActErrno {
		return strings.TrimSpace(string(action))
	}
	number := uint(1)
	if errno != nil {
		number = *errno
	}
	return fmt.Sprintf("%s:%d", action, number)
}

// minus returns the lines of a that b lacks.
func minus(a, b []string) []string {
	known := map[string]bool{}
	for _, line := range b {
		known[line] = true
	}
	rest := []string{}
	for _, line := range a {
		if !known[line] {
			rest = append(rest, line)
		}
	}
	return rest
}
