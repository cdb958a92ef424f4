#!/bin/bash
# A test node: mount, network, PID, IPC, UTS and cgroup namespaces of its own, kept by one process. All that is started in
# it ends with it, and nothing of the machine's is touched: /run is a fresh tmpfs, /var/lib and /var/log are overlays that
# are thrown away, /sys/fs/cgroup shows the node's own subtree as if it were the root (so peapod's and the kubelet's
# default paths work as they are), and the network has no way out.
#
#   node.sh up                  starts the node (fine if it is up)
#   node.sh run CMD [ARG...]    runs a command in it, in the caller's folder, and answers its exit code
#   node.sh down                ends it with everything inside (fine if it is down)
#   node.sh with CMD [ARG...]   up, run, down; also when the command fails or is interrupted
#
# NODE      its name, at most 11 bytes of a-z 0-9 (default: peanode): several can be up at the same time
# NODE_DIR  its state (default: /tmp/$NODE), gone after `down`
# NODE_ADDRESS  default: 10.88.0.1. With another one of 10.88.0.0/24 it is made inside a node, as one more on its network
#
# Inside: hostname $NODE, bridge node0 with 10.88.0.1/24, a default route that leads nowhere, ip_forward on, a
# resolv.conf that fails at once instead of after ten seconds. In a node inside another one, node0 is a link to that one's
# bridge, and the default route leads there.
set -euo pipefail
NODE=${NODE:-peanode}
NODE_DIR=${NODE_DIR:-/tmp/$NODE}
outermost=10.88.0.1
NODE_ADDRESS=${NODE_ADDRESS:-$outermost}
export NODE NODE_DIR NODE_ADDRESS
self=$(readlink -f "$0")

die() { echo "node.sh: $*" >&2; exit 1; }

# "MOUNTPOINT OPTIONS" of every v1 hierarchy; nothing on a pure v2 machine. Inside a node those of the machine are there, too,
# covered by the node's at the same place.
v1_hierarchies() {
    awk '$3 == "cgroup" && !seen[$2]++ {
        n = split($4, o, ","); keep = ""
        for (i = 1; i <= n; i++) if (o[i] !~ /^(rw|ro|nosuid|nodev|noexec|relatime|xattr|release_agent=.*|clone_children)$/) keep = keep (keep == "" ? "" : ",") o[i]
        print $2, keep }' /proc/mounts
}
pure_v2() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }
node_cgroups() {
    if pure_v2; then echo "/sys/fs/cgroup/$NODE"; else v1_hierarchies | while read -r at _; do echo "$at/$NODE"; done; fi
}

make_cgroups() {
    local c f
    for c in $(node_cgroups); do mkdir -p "$c"; done
    if pure_v2; then
        # No `head` on a pipe here: it would end with SIGPIPE.
        for f in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$f" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || :; done
    else
        for c in $(node_cgroups); do
            [ -e "$c/cpuset.cpus" ] || continue
            for f in cpuset.cpus cpuset.mems; do cat "${c%/*}/$f" >"$c/$f"; done
        done
    fi
}

# Moves this shell into the node's cgroups. Version 2 allows no processes beside children, so a leaf of its own there.
enter_cgroups() {
    local c
    for c in $(node_cgroups); do
        if pure_v2 && [ "${1:-}" = leaf ]; then mkdir -p "$c/node"; c=$c/node; fi
        echo $$ >"$c/cgroup.procs"
    done
}

remove_cgroups() {
    local c try state
    for c in $(node_cgroups); do
        [ -d "$c" ] || continue
        # A daemon or shim that ended in the middle of a kill left it frozen, and what is frozen does not die.
        for state in $(find "$c" -name freezer.state 2>/dev/null); do echo THAWED 2>/dev/null >"$state" || :; done
        for try in $(seq 50); do
            find "$c" -depth -type d -exec rmdir {} + 2>/dev/null || :
            [ -d "$c" ] || break
            sleep 0.05
        done
        [ ! -d "$c" ] || echo "node.sh: $c could not be removed: $(tr '\n' ' ' <"$c/cgroup.procs") still in it?" >&2
    done
}

mount_cgroups() {       # read before the old ones are covered
    local hierarchies; hierarchies=$(v1_hierarchies)
    if pure_v2; then
        mount -t sysfs sysfs /sys
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mkdir -p /sys/fs/cgroup/node; echo 1 >/sys/fs/cgroup/node/cgroup.procs
        local f; for f in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$f" >/sys/fs/cgroup/cgroup.subtree_control; done
        return
    fi
    mount -t sysfs sysfs /sys           # of this network namespace
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    local at options
    while read -r at options; do
        mkdir -p "$at"
        case $options in name=*) options=none,$options ;; esac
        mount -t cgroup -o "$options" cgroup "$at"
    done <<<"$hierarchies"
    # No v2 mount: crun 1.8 refuses a hybrid layout whose v2 root has a controller.
}

make_network() {        # with the network namespace of the maker as descriptor 8
    local gateway=$outermost
    ip link set lo up
    if [ "$NODE_ADDRESS" = "$outermost" ]; then
        ip link add node0 type bridge
        ip link add node0a type veth peer name node0b; ip link set node0a master node0 up; ip link set node0b up
        gateway=10.88.0.254
    else
        nsenter --net=/proc/self/fd/8 ip link add "$NODE" type veth peer name node0 netns /proc/1/ns/net
        nsenter --net=/proc/self/fd/8 ip link set "$NODE" master node0 up
    fi
    exec 8<&-
    ip address add "$NODE_ADDRESS/24" dev node0; ip link set node0 up
    ip route add default via "$gateway" dev node0
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

init() {                # PID 1 of the node
    local d
    mount --make-rprivate /
    mount_cgroups
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/lock /run/netns
    for d in lib log; do
        mkdir -p "$NODE_DIR/$d/upper" "$NODE_DIR/$d/work"
        mount -t overlay -o "lowerdir=/var/$d,upperdir=$NODE_DIR/$d/upper,workdir=$NODE_DIR/$d/work" overlay "/var/$d"
    done
    # An overlay can't be the upper layer of another one, and peapod's state holds those of containers.
    mkdir -p "$NODE_DIR/peapod" /var/lib/peapod; mount --bind "$NODE_DIR/peapod" /var/lib/peapod
    mkdir -p /var/lib/kubelet; mount -t tmpfs tmpfs /var/lib/kubelet
    hostname "$NODE"
    printf '127.0.0.1 localhost\n%s %s\n' "$NODE_ADDRESS" "$NODE" >"$NODE_DIR/hosts"; mount --bind "$NODE_DIR/hosts" /etc/hosts
    echo 'nameserver 127.0.0.1' >"$NODE_DIR/resolv.conf"; mount --bind "$NODE_DIR/resolv.conf" /etc/resolv.conf
    mount --make-rshared /              # as systemd has it: a kubelet's volume mounts reach the runtime

    make_network

    trap 'exit 0' TERM
    touch "$NODE_DIR/ready"
    while :; do sleep 3600 & wait $! || :; done       # bash reaps what is left to PID 1
}

pid_of_init() { [ -s "$NODE_DIR/init.pid" ] && cat "$NODE_DIR/init.pid"; }
is_up() { local pid; pid=$(pid_of_init) && [ -e "/proc/$pid/ns/pid" ] && [ "$(readlink "/proc/$pid/ns/pid")" != "$(readlink /proc/self/ns/pid)" ]; }

up() {
    [ "$(id -u)" = 0 ] || die "a node needs root"
    [[ $NODE =~ ^[a-z][a-z0-9]{0,10}$ ]] || die "NODE=$NODE: 1 to 11 bytes of a-z and 0-9, a letter first"
    is_up && return
    rm -rf --one-file-system "$NODE_DIR"; mkdir -p "$NODE_DIR"; chmod 755 "$NODE_DIR"; touch "$NODE_DIR/.peapod-node"
    make_cgroups
    # The child shell enters the cgroups first: a cgroup namespace is rooted where its maker sits.
    setsid bash "$self" spawn >"$NODE_DIR/node.log" 2>&1 </dev/null &
    local keeper=$! try
    for try in $(seq 200); do
        [ -e "$NODE_DIR/ready" ] && break
        kill -0 $keeper 2>/dev/null || break
        sleep 0.05
    done
    echo $keeper >"$NODE_DIR/keeper.pid"
    pgrep -P $keeper >"$NODE_DIR/init.pid" || :
    [ -e "$NODE_DIR/ready" ] || { local log; log=$(cat "$NODE_DIR/node.log"); down; die "the node did not come up: $log"; }
}

run() {
    is_up || die "the node $NODE is not up: $self up"
    local init; init=$(pid_of_init)
    enter_cgroups leaf
    # shellcheck disable=SC2016
    exec nsenter -t "$init" -m -n -p -i -u -C -- bash -c 'cd "$0" && exec "$@"' "$PWD" "$@"
}

down() {
    local pid try
    if is_up; then
        kill -KILL "$(pid_of_init)"                 # unshare ignores TERM
        pid=$(cat "$NODE_DIR/keeper.pid")
        for try in $(seq 200); do [ -e "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || break; sleep 0.05; done
    fi
    remove_cgroups
    [ ! -e "$NODE_DIR/.peapod-node" ] || rm -rf --one-file-system "$NODE_DIR"
}

case ${1:-} in
up) up ;;
# A cgroup namespace is rooted where its maker sits. Version 2 then wants no process left there, not even this one.
spawn) enter_cgroups; exec unshare -C bash "$self" spawn-in-cgroup ;;
spawn-in-cgroup) exec 8</proc/self/ns/net; ! pure_v2 || enter_cgroups leaf; exec unshare -m -n -p -i -u -f --mount-proc --kill-child bash "$self" init ;;
init) init ;;
run) shift; [ $# -gt 0 ] || die "run what?"; run "$@" ;;
down) down ;;
with) shift; [ $# -gt 0 ] || die "run what?"
    trap down EXIT; trap 'exit 130' INT; trap 'exit 143' TERM
    up; code=0; bash "$self" run "$@" || code=$?; exit $code ;;
*) die "up, run CMD, down or with CMD (see its head)" ;;
esac
