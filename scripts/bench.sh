#!/bin/bash
# peapod beside containerd on the same OCI runtime, in a node of its own: time of each call, throughput, memory, recovery,
# and where peapod's time goes. The tables go to the screen, the same and more to target/bench/report.json.
#
# HANDLER   crun (default) or runc
# QUICK=1   fewer repetitions: below two minutes once everything is built
# ARGS      more options of the program (ARGS=--help)
# NODE      name of the node (default: peabench)
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/env.sh"
cd "$root"
export NODE=${NODE:-peabench}
node=tests/node.sh
out=$target/bench; mkdir -p "$out"
options=(--runtime "${HANDLER:-crun}" --report "$out/report.json")
[ -z "${QUICK:-}" ] || options+=(--quick)

cargo build --release --package peapod
cargo build-shim
cargo build --release --package peapod-tests --bin peapod-bench
tests/tools/build.sh containerd cni runc
# containerd's crun: tests/bench/crun.c says why.
gcc -Os -static -s -DCRUN="\"$PEAPOD_CRUN\"" -o "$out/crun" tests/bench/crun.c
export PEAPOD_BIN=$target/release/peapod PEAPOD_BENCH_CRUN=$out/crun
tests/images/build.sh prepare
read -ra more <<<"${ARGS:-}"

trap '"$node" down' EXIT
trap 'exit 130' INT; trap 'exit 143' TERM
"$node" down; "$node" up
# Neighbours on the machine disturb less so: the most weight that there is, for the node as a whole.
for weight in /sys/fs/cgroup/"$NODE"/cpu.weight /sys/fs/cgroup/*/"$NODE"/cpu.shares; do
    [ ! -e "$weight" ] || case $weight in *shares) echo 262144 >"$weight" ;; *) echo 10000 >"$weight" ;; esac
done
"$node" run tests/registry.sh start
"$node" run tests/images/build.sh push demo critest >"$out/images.log"
"$node" run "$target/release/peapod-bench" "${options[@]}" "${more[@]}"
