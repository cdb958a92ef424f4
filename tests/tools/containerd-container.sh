#!/bin/bash
# Prints the config.json that the pinned containerd makes of a default container, asked for as a kubelet asks. What
# src/spec/golden/containerd-container.json holds; the tests of src/spec compare peapod's own with it.
#
#   tests/tools/build.sh cri runc containerd cni
#   tests/node.sh with bash -c 'tests/registry.sh start && tests/images/build.sh push tests critest >&2 &&
#       tests/tools/containerd-container.sh' >src/spec/golden/containerd-container.json
#
# Runs in a node (tests/node.sh) of cgroup v1, with the images pushed. Folders, ids and PIDs are replaced by short names.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/../../scripts/env.sh"
[ -n "${NODE_DIR:-}" ] && [ -e "$NODE_DIR/ready" ] || { echo "containerd-container.sh: run it in a node" >&2; exit 2; }
export PATH=$PEAPOD_GOTOOLS:$PATH
dir=$(mktemp -d "$NODE_DIR/c-XXXXXX")
image=$PEAPOD_REGISTRY/peapod/shell:1
mkdir -p "$dir"/{certs.d/"$PEAPOD_REGISTRY",net.d,logs/server,kubelet/token}
touch "$dir"/kubelet/{hosts,termination}
printf 'server = "http://%s"\n[host."http://%s"]\n' "$PEAPOD_REGISTRY" "$PEAPOD_REGISTRY" >"$dir/certs.d/$PEAPOD_REGISTRY/hosts.toml"
cat >"$dir/net.d/10.conflist" <<T
{"cniVersion": "1.0.0", "name": "golden", "plugins": [{"type": "bridge", "bridge": "cgolden0", "isGateway": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.97.0.0/24"}]]}}]}
T
cat >"$dir/config.toml" <<T
version = 3
root = "$dir/root"
state = "$dir/state"
[grpc]
address = "$dir/socket"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "$PEAPOD_REGISTRY/pause:3.9"
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = "$dir/certs.d"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["$PEAPOD_GOTOOLS/cni"]
conf_dir = "$dir/net.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "$PEAPOD_RUNC"
T
cat >"$dir/pod.json" <<T
{"metadata": {"name": "web", "uid": "u1", "namespace": "default"}, "hostname": "web", "log_directory": "$dir/logs",
 "dns_config": {"servers": ["10.96.0.10"]},
 "linux": {"cgroup_parent": "/kubepods/podu1",
  "security_context": {"namespace_options": {"pid": 1}, "seccomp": {"profile_type": 0}}}}
T
# Masked and read-only paths: pkg/securitycontext of the kubelet. It also asks for the image's user by number.
cat >"$dir/container.json" <<T
{"metadata": {"name": "server"}, "image": {"image": "$image"}, "command": ["sleep", "1000"], "log_path": "server/0.log",
 "mounts": [
  {"container_path": "/var/run/secrets/token", "host_path": "$dir/kubelet/token", "readonly": true},
  {"container_path": "/etc/hosts", "host_path": "$dir/kubelet/hosts"},
  {"container_path": "/dev/termination-log", "host_path": "$dir/kubelet/termination"}],
 "linux": {"resources": {"cpu_period": 100000, "cpu_shares": 2, "oom_score_adj": 1000},
  "security_context": {"namespace_options": {"pid": 1}, "run_as_user": {"value": 0}, "seccomp": {"profile_type": 0},
   "masked_paths": ["/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap"],
   "readonly_paths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]}}}
T
: >"$dir/crictl.yaml"; export CRI_CONFIG_FILE=$dir/crictl.yaml
export CONTAINER_RUNTIME_ENDPOINT=unix://$dir/socket IMAGE_SERVICE_ENDPOINT=unix://$dir/socket
containerd --config "$dir/config.toml" >"$dir/log" 2>&1 </dev/null &
daemon=$!
finish() {
    local code=$?
    trap - EXIT
    [ $code = 0 ] || tail -n 20 "$dir/log" >&2
    crictl rmp -f -a >&2 || :
    kill $daemon; wait $daemon || :
    rm -rf --one-file-system "$dir"
    exit $code
}
trap finish EXIT
for try in $(seq 200); do crictl version >/dev/null 2>&1 && break; sleep 0.1; done
crictl pull "$image" >&2
pod=$(crictl runp "$dir/pod.json")
container=$(crictl create "$pod" "$dir/container.json" "$dir/pod.json")
crictl inspect "$container" | jq .info.runtimeSpec >"$dir/spec.json"
sed -E -e "s#$dir/(root|state)/io.containerd.grpc.v1.cri/sandboxes/$pod#/pod#; s#$dir/kubelet#/kubelet#" \
    -e "s#$container#c1#; s#$pod#p1#; s#$PEAPOD_REGISTRY#registry#; s#/proc/[0-9]+/ns/#/ns/#" "$dir/spec.json" |
    python3 "$root/tests/tools/compact.py"
