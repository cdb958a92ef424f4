#!/bin/bash
# A stock kubelet in the foreground, inside a node: kubelet.sh RUNTIME-SOCKET DIR [FLAG...]
#
# KUBELET_GATES   feature gates to be opened, with blanks in between
# KUBELET_CONFIG  lines of YAML to add to its configuration
# NODE_ADDRESS    the node's (default: as node.sh has it)
#
# DIR gets its configuration and state; static pods go into DIR/manifests (as a dot file first, then renamed: the kubelet
# reads half-written files).
#
# At start it writes six sysctls of the whole machine. Files are bound over them for the kubelet alone: /proc becomes private
# here while / stays shared, so that its volume mounts reach the runtime. (Bound in the runtime's own namespace they would keep pods with user
# namespaces from mounting proc.)
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
socket=$1 dir=$2; shift 2
mkdir -p "$dir"/{sysctl,manifests,pod-logs,volume-plugins}
cat >"$dir/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$socket
staticPodPath: $dir/manifests
podLogsDir: $dir/pod-logs
volumePluginDir: $dir/volume-plugins
resolvConf: $NODE_DIR/resolv.conf
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
fileCheckFrequency: 1s
syncFrequency: 5s
# The real tree, made by the kubelet, limits and all: kubepods/{burstable,besteffort}/pod<uid>, or slices, as the runtime says.
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
address: 0.0.0.0        # an API server of this network reaches it
port: 10250
readOnlyPort: 10255
healthzBindAddress: 127.0.0.1
healthzPort: 10248
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
makeIPTablesUtilChains: false
# Nothing is evicted and no image collected because the test machine's disk is full.
evictionHard: {memory.available: 1Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
# The first as docs/kubelet.md says it.
featureGates: {$(printf '%s: true, ' PodAndContainerStatsFromCRI ${KUBELET_GATES:-})}
${KUBELET_CONFIG:-}
Y
export DIR=$dir
# shellcheck disable=SC2016
exec unshare -m --propagation unchanged bash -ec '
mount --make-rprivate /proc
shield() { echo "$2" >"$DIR/sysctl/${1##*/}"; mount --bind "$DIR/sysctl/${1##*/}" "$1"; }
shield /proc/sys/vm/overcommit_memory 1
shield /proc/sys/vm/panic_on_oom 0
shield /proc/sys/kernel/panic 10
shield /proc/sys/kernel/panic_on_oops 1
shield /proc/sys/kernel/keys/root_maxkeys 1000000
shield /proc/sys/kernel/keys/root_maxbytes 25000000
exec "$@"' -- "$PEAPOD_GOTOOLS/kubelet" --config="$dir/kubelet.yaml" --root-dir="$dir/kubelet" --cert-dir="$dir/pki" \
    --hostname-override="$NODE" --node-ip="${NODE_ADDRESS:-10.88.0.1}" --v=2 "$@"
