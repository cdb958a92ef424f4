// Command seccompdump writes containerd's default seccomp profile as JSON, for the capability sets that change it.
//
// The test of peapod's own default filter (src/spec/src/seccomp/compare_tests.rs) compares the two. Its input is checked
// in; tests/tools/build.sh builds this program and
//
//	seccompdump DIRECTORY
//
// writes containerd-seccomp-<set>.json for each set, so that a new release of containerd shows up as a difference.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// sets are the capability sets to emit, each on top of nothing else: the profile looks at the bounding set alone.
var sets = map[string][]string{
	"none":            {},
	"bpf":             {"CAP_BPF"},
	"dac-read-search": {"CAP_DAC_READ_SEARCH"},
	"perfmon":         {"CAP_PERFMON"},
	"sys-admin":       {"CAP_SYS_ADMIN"},
	"sys-boot":        {"CAP_SYS_BOOT"},
	"sys-chroot":      {"CAP_SYS_CHROOT"},
	"sys-module":      {"CAP_SYS_MODULE"},
	"sys-nice":        {"CAP_SYS_NICE"},
	"sys-pacct":       {"CAP_SYS_PACCT"},
	"sys-ptrace":      {"CAP_SYS_PTRACE"},
	"sys-rawio":       {"CAP_SYS_RAWIO"},
	"sys-time":        {"CAP_SYS_TIME"},
	"sys-tty-config":  {"CAP_SYS_TTY_CONFIG"},
	"syslog":          {"CAP_SYSLOG"},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: seccompdump DIRECTORY")
		os.Exit(2)
	}
	for name, capabilities := range sets {
		if err := write(filepath.Join(os.Args[1], "containerd-seccomp-"+name+".json"), capabilities); err != nil {
			fmt.Fprintln(os.Stderr, "seccompdump:", err)
			os.Exit(1)
		}
	}
}

func write(path string, capabilities []string) error {
	spec := &specs.Spec{
		Linux:   &specs.Linux{},
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}},
	}
	text, err := json.MarshalIndent(seccomp.DefaultProfile(spec), "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
