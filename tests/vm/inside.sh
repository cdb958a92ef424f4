#!/bin/bash
# What is tested in the virtual machine: inside.sh smoke | full | unit | words WORD... (called by tests.sh, by way of vm.sh).
#
# peapod is installed in the machine as a package would do it, and the machine itself is the node: its systemd, its cgroups.
# Tests end with "test result: ..." or "counted ..." lines, which scripts/test.sh adds up.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
[ -e /usr/lib/peapod-vm/job ] || { echo "inside.sh: this is not the virtual machine: tests.sh" >&2; exit 2; }
cp -a "$CARGO_TARGET_DIR"/vm/stage/. /
tools=/usr/lib/peapod-tests
export PEAPOD_BIN=/usr/bin/peapod PEAPOD_SHIM=/usr/libexec/peapod/containerd-shim-peapod-v1 PEAPOD_CRUN=/usr/bin/crun \
    PEAPOD_RUNC=$tools/runc PEAPOD_CNI=$tools/cni NODE=vm NODE_DIR=/var/tmp/node REGISTRY_DIR=$tools/registry
. "$here/../../scripts/env.sh"
mkdir -p "$NODE_DIR"; touch "$NODE_DIR/ready"
failed=0
timed() { local start=$SECONDS; "$@" || failed=1; echo "--- ${*##*/}: $((SECONDS - start)) s"; }
integration() {         # DRIVER WORD...
    echo "=== the integration tests with the cgroup driver $1"
    PEAPOD_CGROUP_DRIVER=$1 "$tools/integration" "${@:2}"
}
each_driver() { local driver; for driver in $DRIVERS; do timed integration "$driver" "$@"; done; }

"$here/../registry.sh" start || exit
unit() {
    echo "=== the systemd unit, with the cgroup driver $1"
    "$here/unit.sh" "$1"
}
case $1 in
smoke) each_driver lifecycle::a_pod_lives_and_dies
    timed unit "${DRIVERS%% *}" ;;
full) export FULL=1
    each_driver
    for driver in $DRIVERS; do timed unit "$driver"; done ;;
unit) for driver in $DRIVERS; do timed unit "$driver"; done ;;
words) each_driver "${@:2}" ;;
*) echo "inside.sh: smoke, full, unit or words" >&2; exit 2 ;;
esac
journalctl -b --no-pager >"$OUT/journal.log"
exit $failed
