#!/bin/bash
# What is tested in the virtual machine: inside.sh MODE [WORD...], with the modes of tests.sh, which calls it by way of vm.sh.
#
# peapod is installed in the machine as a package would do it, and the machine itself is the node: its systemd, its cgroups.
# Tests end with "test result: ..." or "counted ..." lines, which scripts/test.sh adds up.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
[ -e /usr/lib/peapod-vm/job ] || { echo "inside.sh: this is not the virtual machine: tests.sh" >&2; exit 2; }
cp -a "$STAGE"/. /
tools=/usr/lib/peapod-tests
export PEAPOD_BIN=/usr/bin/peapod PEAPOD_SHIM=/usr/libexec/peapod/containerd-shim-peapod-v1 PEAPOD_CRUN=/usr/bin/crun \
    PEAPOD_RUNC=$tools/runc PEAPOD_CNI=$tools/cni PEAPOD_GOTOOLS=$tools NODE=vm NODE_ADDRESS=10.0.2.15 NODE_DIR=/var/tmp/node REGISTRY_DIR=$tools/registry
. "$here/../../scripts/env.sh"
mkdir -p "$NODE_DIR"; touch "$NODE_DIR/ready"
echo 'nameserver 127.0.0.1' >"$NODE_DIR/resolv.conf"       # fails at once
failed=0
timed() { local start=$SECONDS; "$@" || failed=1; echo "--- $((SECONDS - start)) s"; }
integration() {         # DRIVER RUNTIMES WORD...
    echo "=== integration tests: cgroup driver $1, $2"
    PEAPOD_CGROUP_DRIVER=$1 PEAPOD_TEST_RUNTIMES=$2 timed "$tools/integration" "${@:3}"
}
unit() {                # DRIVER
    echo "=== the systemd unit: cgroup driver $1"
    timed "$here/unit.sh" "$1"
}
critest() {             # DRIVER HANDLER
    echo "=== critest: cgroup driver $1, $2"
    PEAPOD_CGROUP_DRIVER=$1 HANDLER=$2 MORE=vm PEAPOD_OUT=$OUT/$1 timed "$here/../critest/run.sh"
}
kubelet() {             # DRIVER HANDLER [smoke]
    echo "=== the kubelet: cgroup driver $1, $2${KUBELET_GATES:+, with $KUBELET_GATES}"
    PEAPOD_CGROUP_DRIVER=$1 HANDLER=$2 PEAPOD_OUT=$OUT/$1/$2${KUBELET_GATES:+-gates} \
        timed "$here/../with-peapod.sh" "$here/../kubelet/run.sh" "${@:3}"
}

# One pod with all that a driver does differently: its life, a command, statistics, limits, no memory left.
few=(lifecycle::a_pod_lives exec::output_and_code resources::usage_of resources::limits_are_set exits::no_memory_left)
# Of critest: a command, statistics, AppArmor, a session.
few_specs=4 specs='support execSync \[|listing pod sandbox metrics|prefer new apparmor field should enforce|exec with tty=false'
# What has to do with cgroups, processes, the kernel's version or systemd.
most=(cgroups:: pod_limits:: cdi::access:: lifecycle:: restart:: exits:: resources:: metrics:: exec:: shims:: sharing:: status:: wiped:: reboot::
    security:: apparmor:: selinux:: ulimits:: writable_cgroups::)

# A test node on cgroup v2: controllers handed down, processes in a leaf, nothing left.
node() {
    echo "=== a test node"
    local found
    found=$(NODE=inner NODE_ADDRESS='' NODE_DIR=/var/tmp/inner "$here/../node.sh" with sh -c 'cat /proc/self/cgroup /sys/fs/cgroup/cgroup.subtree_control')
    if grep -qx 0::/node <<<"$found" && grep -qw memory <<<"$found" && [ ! -e /sys/fs/cgroup/inner ]; then
        echo "counted 1 passed, 0 failed"
    else
        echo "found: $found"; echo "counted 0 passed, 1 failed"; return 1
    fi
}

"$here/../registry.sh" start || exit
case $1 in
smoke) for driver in $DRIVERS; do integration "$driver" crun "${few[@]}"; done
    FOCUS=$specs SPECS=$few_specs critest "${DRIVERS##* }" crun
    kubelet "${DRIVERS##* }" crun smoke
    unit "${DRIVERS##* }" ;;
full) export FULL=1
    timed node
    for driver in $DRIVERS; do
        integration "$driver" crun "${most[@]}"
        integration "$driver" runc "${few[@]}" restart::a_killed_daemon exits::
        unit "$driver"
    done ;;
critest) for driver in $DRIVERS; do
        for handler in $HANDLERS; do critest "$driver" "$handler"; done
    done ;;
kubelet) for driver in $DRIVERS; do
        for handler in $HANDLERS; do kubelet "$driver" "$handler"; done
    done
    # As kubelets will be one day, as in scripts/test.sh.
    KUBELET_GATES="EventedPLEG CRIListStreaming" PEAPOD_CONFIG=$'[log]\nlevel = "debug"' kubelet "${DRIVERS##* }" "${HANDLERS%% *}" ;;
unit) for driver in $DRIVERS; do unit "$driver"; done ;;
words) for driver in $DRIVERS; do integration "$driver" "$RUNTIMES" "${@:2}"; done ;;
*) echo "inside.sh: no mode $1: see tests.sh" >&2; exit 2 ;;
esac
journalctl -b --no-pager >"$OUT/journal.log"
exit $failed
