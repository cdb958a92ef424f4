#!/bin/bash
# Load and endurance in a node of its own: many pods, clients that give up and ask again, lists, 100 000 commands.
# Prints calls, errors, times, memory and descriptors at the beginning, in the middle and at the end; fails if something
# failed, grew or stayed. About half an hour with the defaults on two cores.
#
# HANDLER   crun (default) or runc
# ARGS      options of the program, e.g. ARGS="--execs 2000 --seconds 60" (ARGS=--help)
# NODE      name of the node (default: peasoak)
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/env.sh"
cd "$root"
export NODE=${NODE:-peasoak}
node=tests/node.sh
out=$target/soak; mkdir -p "$out"

cargo build --release --package peapod
cargo build-shim
cargo build --release --package peapod-tests --bin peapod-soak
export PEAPOD_BIN=$target/release/peapod
[ -x "$PEAPOD_RUNC" ] || tests/tools/build.sh runc
tests/images/build.sh prepare
read -ra more <<<"${ARGS:-}"

trap '"$node" down' EXIT
trap 'exit 130' INT; trap 'exit 143' TERM
"$node" down; "$node" up
"$node" run tests/registry.sh start
"$node" run tests/images/build.sh push tests >"$out/images.log"
"$node" run "$target/release/peapod-soak" --strict --runtime "${HANDLER:-crun}" "${more[@]}" 2>&1 | tee "$out/${HANDLER:-crun}.log"
