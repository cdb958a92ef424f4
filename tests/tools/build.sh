#!/bin/bash
# Builds the Go programs that judge peapod, each at the version that the go.mod of this folder pins. Those of cri-tools
# have one of their own, in cri/: they are of a newer Kubernetes than the kubelet.
#
#   build.sh [GROUP...]        cri (crictl, critest), runc, kubelet, kubeadm, containerd, cni, nri, cluster; default: cri runc kubelet
#
# BIN   where they go (default: target/gotools of this checkout)
#
# With empty caches and two cores: cri 3 minutes, runc 1, kubelet 6; with warm ones some seconds. Needs Go, gcc,
# pkg-config and libseccomp-dev.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
bin=${BIN:-$(cd ../.. && pwd)/target/gotools}
mkdir -p "$bin"
exec 9>"$bin/.lock"; flock 9        # two makes at the same time
# The toolchain that is here, the versions that are pinned, nothing of this checkout in the binaries.
export GOFLAGS="-buildvcs=false -mod=readonly -trimpath" GOTOOLCHAIN=local CGO_ENABLED=0

version() { go list -m -f '{{.Version}}' "$1"; }
kubernetes=$(version k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${kubernetes#v}"
component=k8s.io/component-base/version
ldflags="-s -w"
ldflags+=" -X $component.gitVersion=$kubernetes -X $component.gitMajor=$major -X $component.gitMinor=$minor -X $component.gitTreeState=archive"
ldflags+=" -X sigs.k8s.io/cri-tools/pkg/version.Version=$(cd cri && version sigs.k8s.io/cri-tools)"
ldflags+=" -X github.com/containerd/containerd/v2/version.Version=$(version github.com/containerd/containerd/v2)"
flags=(-tags "seccomp no_btrfs no_devmapper no_zfs urfave_cli_no_docs" -ldflags "$ldflags")

build() { local to=$1; shift; go build "${flags[@]}" -o "$bin/$to" "$@"; }
mapfile -t groups < <(printf '%s\n' "${@:-cri runc kubelet}" | tr ' ' '\n')
for group in "${groups[@]}"; do
    case $group in
    cri)
        (
            cd cri
            build crictl sigs.k8s.io/cri-tools/cmd/crictl
            go test -c "${flags[@]}" -o "$bin/critest" sigs.k8s.io/cri-tools/cmd/critest
        ) ;;
    runc) CGO_ENABLED=1 build runc github.com/opencontainers/runc ;;
    kubelet | kubeadm) build "$group" "k8s.io/kubernetes/cmd/$group" ;;
    containerd)
        mapfile -t programs < <(go list tool | grep containerd/containerd)
        build "" "${programs[@]}" ;;
    cni)
        mapfile -t programs < <(go list tool | grep containernetworking/plugins)
        mkdir -p "$bin/cni"; build cni/ "${programs[@]}" ;;
    nri) build nriplugin ./nriplugin ;;
    cluster)
        build etcd go.etcd.io/etcd/server/v3
        for program in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
            build "$program" "k8s.io/kubernetes/cmd/$program"
        done ;;
    *) echo "tests/tools/build.sh: no group $group (see its head)" >&2; exit 2 ;;
    esac
done
