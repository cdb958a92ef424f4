# Sourced: where the built programs are. What is set already stays, so that one can test others.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
export PEAPOD_OUT=${PEAPOD_OUT:-$target}        # for logs and reports
export PEAPOD_BIN=${PEAPOD_BIN:-$target/debug/peapod}
export PEAPOD_SHIM=${PEAPOD_SHIM:-$target/shim/containerd-shim-peapod-v1}
export PEAPOD_CRUN=${PEAPOD_CRUN:-/usr/bin/crun}
export PEAPOD_GOTOOLS=${PEAPOD_GOTOOLS:-$target/gotools}
export PEAPOD_RUNC=${PEAPOD_RUNC:-$PEAPOD_GOTOOLS/runc}
export PEAPOD_CNI=${PEAPOD_CNI:-$PEAPOD_GOTOOLS/cni}
export PEAPOD_REGISTRY=${PEAPOD_REGISTRY:-127.0.0.1:5000}
export PEAPOD_OLD_SHIM=${PEAPOD_OLD_SHIM:-$target/old-shim/containerd-shim-peapod-v1}
