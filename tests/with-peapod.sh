#!/bin/bash
# Runs a command beside a private peapod, inside a node: with-peapod.sh CMD [ARG...]
#
# HANDLER         the default runtime handler (default: crun); crun and runc are both there by name
# PEAPOD_LOG      the daemon's log (default: target/peapod.log)
# PEAPOD_CGROUP_DRIVER  cgroupfs or systemd (default: auto, as the daemon's)
# PEAPOD_CONFIG   lines of TOML to add to its configuration
# The command finds CONTAINER_RUNTIME_ENDPOINT and PEAPOD_ENDPOINT set, and PEAPOD_RESTART, a program that kills the daemon with
# -9 and starts it again (PEAPOD_RESTART SIGNAL PEAPOD: with that signal, and that program). Pods that it leaves are removed;
# what stays after that (processes, mounts, links, network namespaces, cgroups) is an error of its own, exit code 99.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../scripts/env.sh"
[ -n "${NODE_DIR:-}" ] && [ -e "$NODE_DIR/ready" ] || { echo "with-peapod.sh: run it in a node: tests/node.sh with $0 ..." >&2; exit 2; }
slow=${PEAPOD_TEST_SLOW:-1}           # times slower than others: limits are so much longer
log=${PEAPOD_LOG:-$PEAPOD_OUT/peapod.log}; mkdir -p "$(dirname "$log")"
dir=$(mktemp -d "$NODE_DIR/p-XXXXXX"); chmod 755 "$dir"
socket=$dir/run/peapod.sock
export CONTAINER_RUNTIME_ENDPOINT=unix://$socket PEAPOD_ENDPOINT=unix://$socket IMAGE_SERVICE_ENDPOINT=unix://$socket

# The names that others' tests use, answered by the local registry.
for host in registry.k8s.io k8s.gcr.io gcr.io docker.io; do
    mkdir -p "$dir/certs.d/$host"
    printf 'server = "http://%s"\n[host."http://%s"]\ncapabilities = ["pull", "resolve"]\n' "$PEAPOD_REGISTRY" "$PEAPOD_REGISTRY" \
        >"$dir/certs.d/$host/hosts.toml"
done
export CRI_CONFIG_FILE=$dir/crictl.yaml     # or crictl warns in every output
echo "timeout: $((10 * slow))" >"$CRI_CONFIG_FILE"
cat >"$dir/config.toml" <<T
state_root = "$dir/state"
run_root = "$dir/run"
[shim]
path = "$PEAPOD_SHIM"
[runtimes]
default = "${HANDLER:-crun}"
[runtimes.handlers.crun]
path = "$PEAPOD_CRUN"
[runtimes.handlers.runc]
path = "$PEAPOD_RUNC"
[image]
hosts_dirs = ["$dir/certs.d"]
[cgroup]
driver = "${PEAPOD_CGROUP_DRIVER:-auto}"
${PEAPOD_CONFIG:-}
T

# What a pod could leave behind. The bridge may stay: it is the node's, not a pod's.
leavings() {
    pgrep -af '^[^ ]*(containerd-shim-peapod|crun|runc)' | sed 's/^/process /' || :
    awk -v dir="$dir/" 'index($5, dir) == 1 && $5 != dir "run" { print "mount", $5 }' /proc/self/mountinfo
    ip -o link show type veth | awk -F': ' '$2 !~ /^node0/ { print "link", $2 }'
    ls /var/run/netns 2>/dev/null | sed 's/^/netns /'
    find /sys/fs/cgroup -mindepth 2 -type d \( -path '*/peapod/*' -o -path '*/kubepods/*' -o -path '*/k8s.io/*' \
        -o -name 'peapod-*.scope' -o -name 'cri-containerd-*.scope' -o -name 'kubepods-*pod*.slice' \) | sed 's/^/cgroup /' | head -20
}
# Links go with their namespace, which the kernel takes apart a little later.
nothing_left() {
    local left try
    for try in $(seq $((100 * slow))); do
        left=$(leavings); [ -z "$left" ] && return
        sleep 0.05
    done
    echo "left behind:"; echo "$left"; return 1
} >&2

cat >"$dir/restart" <<R
#!/bin/bash
daemon=\$(cat "$dir/daemon.pid")
kill "-\${1:-KILL}" "\$daemon"
for try in \$(seq 600); do kill -0 "\$daemon" 2>/dev/null || break; sleep 0.05; done
"\${2:-$PEAPOD_BIN}" serve --config "$dir/config.toml" >>"$log" 2>&1 </dev/null &
echo \$! >"$dir/daemon.pid"
R
chmod +x "$dir/restart"
"$PEAPOD_BIN" serve --config "$dir/config.toml" >"$log" 2>&1 </dev/null &
daemon=$!
echo $daemon >"$dir/daemon.pid"
finish() {
    local code=$? try
    trap - EXIT
    daemon=$(cat "$dir/daemon.pid")
    if [ -x "$PEAPOD_GOTOOLS/crictl" ] && kill -0 $daemon 2>/dev/null; then
        for pod in $(timeout $((10 * slow)) "$PEAPOD_GOTOOLS/crictl" pods -q 2>/dev/null || :); do
            timeout $((30 * slow)) "$PEAPOD_GOTOOLS/crictl" rmp -f "$pod" >/dev/null || code=99
        done
    fi
    kill $daemon 2>/dev/null || :
    for try in $(seq $((100 * slow))); do kill -0 $daemon 2>/dev/null || break; sleep 0.05; done
    if kill -KILL $daemon 2>/dev/null; then echo "peapod did not end within $((5 * slow)) s" >&2; code=99; fi
    nothing_left || [ $code != 0 ] || code=99
    umount -l "$dir/run" 2>/dev/null || :
    rm -rf --one-file-system "$dir"
    [ $code = 0 ] || { echo "--- the end of $log:" >&2; tail -n 30 "$log" >&2; }
    exit $code
}
trap finish EXIT
trap 'exit 130' INT; trap 'exit 143' TERM
for try in $(seq $((200 * slow))); do
    [ -S "$socket" ] && break
    kill -0 $daemon 2>/dev/null || { echo "peapod serve ended at once" >&2; exit 1; }
    sleep 0.05
done
[ -S "$socket" ] || { echo "peapod serve made no socket within $((10 * slow)) s" >&2; exit 1; }
PEAPOD_RESTART=$dir/restart PEAPOD_DIR=$dir "$@"
