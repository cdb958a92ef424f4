#!/bin/bash
# Kubernetes on peapod, by kubectl: a control plane and two nodes, the one with crun, the other with runc.
# Inside a node, with the registry's images there (scripts/test.sh cluster does all of it): tests/node.sh run tests/cluster/run.sh
#
# CHECKS  the files of checks/ to run, without their end (default: all)
# Logs are in target/cluster.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
[ -n "${NODE_DIR:-}" ] && [ -e "$NODE_DIR/ready" ] || { echo "run.sh: run it in a node: scripts/test.sh cluster" >&2; exit 2; }
. "$here/../checks.sh"
. "$here/kubectl.sh"
. "$here/nodes.sh"
out=$target/cluster; rm -rf "$out"; mkdir -p "$out"
dir=$(mktemp -d "$NODE_DIR/cluster-XXXXXX"); chmod 755 "$dir"
export KUBECONFIG=$dir/admin.kubeconfig PEAPOD_REGISTRY=$NODE_ADDRESS:5001

control_plane=
finish() {
    local code=$? node
    trap - EXIT
    [ $code = 0 ] || tails
    kill $control_plane 2>/dev/null
    for node in one two; do node_down $node; done
    wait $control_plane 2>/dev/null
    cp -r "$dir/logs" "$out/control-plane" 2>/dev/null
    REGISTRY_PORT=5001 "$here/../registry.sh" stop
    rm -rf --one-file-system "$dir"
    exit $code
}
tails() {
    local log
    LIMIT=10 k get nodes,pods -o wide
    for log in "$out"/*.log "$dir"/logs/*.log; do echo "--- the end of $log:"; tail -n 15 "$log" | cut -c 1-400; done
} >&2
trap finish EXIT
trap 'exit 130' INT; trap 'exit 143' TERM
trap : PIPE             # who does not listen any more is seen by what he does not say
SECONDS=0
REGISTRY_ADDRESS=$NODE_ADDRESS REGISTRY_PORT=5001 "$here/../registry.sh" start || exit
"$here/control-plane.sh" "$dir" one two >"$out/control-plane.log" 2>&1 </dev/null &
control_plane=$!
hopeless() {
    if ! kill -0 $control_plane 2>/dev/null; then echo "the control plane has ended"; else has_ended; fi
}
node_up one 10.88.0.2 10.244.1.0/24 crun && node_up two 10.88.0.3 10.244.2.0/24 runc || exit
until_ok 120 "the API server answers" k get --raw /readyz || exit
until_ok 60 "both nodes are Ready" nodes_ready 2 || exit
until_ok 30 "pods may be made" k get serviceaccount default || exit

# The last one leaves a single node.
all=(workloads streams terminals debug resize daemon death)
for subject in ${CHECKS:-${all[@]}}; do
    # What an OCI runtime has to do with is looked at with both; others know by themselves where they are.
    case $subject in streams | terminals | debug | resize) nodes=(one two) ;; *) nodes=("") ;; esac
    for node in "${nodes[@]}"; do
        echo "--- $subject${node:+ on node $node}"
        . "$here/checks/$subject.sh"
    done
done

echo "--- the end"
check "all can be deleted" k delete deployments,statefulsets,daemonsets,jobs,pods --all --timeout=90s
for node in one two; do
    ! is_node_up $node || node_end $node
done
counted
