#!/bin/bash
# A kubelet of the cluster beside a peapod, in a node of its own: with-peapod.sh worker.sh KUBECONFIG
# Ends with the first line of its standard input, or with the input itself. $NODE_DIR/restart is PEAPOD_RESTART meanwhile.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
kubeconfig=$1
dir=$NODE_DIR/kubelet
ln -sfn "$PEAPOD_RESTART" "$NODE_DIR/restart"

api() { "$PEAPOD_GOTOOLS/kubectl" --kubeconfig "$kubeconfig" --request-timeout 5s get --raw /readyz; }
told_to_end() { local code=0; read -r -t "$1" _ || code=$?; [ $code -le 128 ]; }       # above is that the time was over
until [ -e "$kubeconfig" ] && api >/dev/null 2>&1; do
    if told_to_end 0.2; then exit 0; fi
done
# Its lease is renewed four times in the time that it is for.
export KUBELET_CONFIG='nodeLeaseDurationSeconds: 4'
"$here/../kubelet/kubelet.sh" "${CONTAINER_RUNTIME_ENDPOINT#unix://}" "$dir" --kubeconfig="$kubeconfig" >"${KUBELET_LOG:-/dev/null}" 2>&1 </dev/null &
kubelet=$!
finish() {
    local code=$?
    trap - EXIT
    kill $kubelet 2>/dev/null || :; wait $kubelet || :
    "$here/../kubelet/clean.sh" "$dir" || [ $code != 0 ] || code=1
    exit $code
}
trap finish EXIT
trap 'exit 130' INT; trap 'exit 143' TERM
while kill -0 $kubelet 2>/dev/null; do
    if told_to_end 1; then exit 0; fi
done
echo "worker.sh: the kubelet has ended" >&2; exit 1
