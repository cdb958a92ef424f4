#!/bin/bash
# A Kubernetes pod from nothing to its end: what `make demo` shows. Needs root and what scripts/install.sh demo installs.
#
#   DEMO_PUBLIC   not empty: images come from docker.io itself. By default they are made here, from Debian packages, and a
#                 local registry stands in for it
#
# All of it happens in a node of its own (tests/node.sh): network, mounts, processes and cgroups that are gone afterwards,
# also when something fails or Ctrl-C comes.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/env.sh"
cd "$root"
export NODE=${NODE:-peademo} NODE_DIR=${NODE_DIR:-/tmp/${NODE:-peademo}}

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' off=$'\e[0m'; else bold= dim= green= off=; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
say() { printf '%s  %s%s\n' "$dim" "$*" "$off"; }
shown() { printf '%s$ %s%s\n' "$green" "$*" "$off"; }
show() { shown "$(words "$@")"; "$@"; }
words() {               # as one would type them
    local word
    for word; do case $word in *[[:space:]]*) printf "'%s' " "$word" ;; *) printf '%s ' "$word" ;; esac; done
}
fail() { printf '\ndemo: %s\n' "$*" >&2; exit 1; }
wait_for() {            # WHAT COMMAND...: at most 30 s
    local what=$1 try; shift
    for try in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        [ -z "${daemon:-}" ] || kill -0 "$daemon" 2>/dev/null || fail "the daemon ended before $what"
        sleep 0.1
    done
    fail "waited 30 s for $what"
}

outside() {
    [ "$(id -u)" = 0 ] || fail "containers need root: sudo make demo"
    [ -z "${DEMO_PUBLIC:-}" ] || command -v slirp4netns >/dev/null ||
        fail "slirp4netns, the way out of the demo's network, is missing: DEMO_PUBLIC=1 scripts/install.sh demo installs it"
    title "1. Build"
    say "peapod, and the shim that stays with each pod; the first time takes some minutes"
    [ -t 2 ] || export CARGO_TERM_QUIET=true
    cargo build --package peapod
    cargo build-shim
    say "the inputs of two small images, from Debian packages"
    tests/images/build.sh prepare
    SECONDS=0
    slirp=
    trap 'end_node' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    tests/node.sh up
    [ -z "${DEMO_PUBLIC:-}" ] || way_out
    tests/node.sh run scripts/demo.sh inside
    trap - EXIT
    end_node
    title "Done in $SECONDS s: the node is gone, with everything that was in it."
}

end_node() {
    [ -z "$slirp" ] || kill "$slirp" 2>/dev/null || :
    tests/node.sh down
}

# The node's network leads nowhere. For a public image it gets a way out that changes nothing of the machine's own network.
way_out() {
    tests/node.sh run ip route del default
    slirp4netns --configure --mtu=65520 --disable-host-loopback "$(cat "$NODE_DIR/init.pid")" tap0 >"$NODE_DIR/slirp.log" 2>&1 &
    slirp=$!
    wait_for "the node's way out" tests/node.sh run ip route get 10.0.2.2
    echo 'nameserver 10.0.2.3' >"$NODE_DIR/resolv.conf"
}

inside() {
    daemon=
    mkdir -p "$NODE_DIR/demo"; chmod 755 "$NODE_DIR/demo"
    PATH=$(dirname "$PEAPOD_BIN"):$PATH
    export PATH PEAPOD_RUN_DIR=$NODE_DIR/demo/pods PEAPOD_ENDPOINT=unix://$NODE_DIR/demo/run/peapod.sock
    trap 'finish' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    images
    cd "$NODE_DIR/demo"

    title "3. peapod serves the Container Runtime Interface"
    serve

    title "4. A pod from a Kubernetes manifest"
    say "a web server and a sidecar, which share the network, a volume and their processes"
    cp "$root/examples/web.yaml" .
    show peapod run -d web.yaml
    wait_for "the first page" curl -fsS -m 2 http://127.0.0.1:8080/
    show curl -fsS -m 5 http://127.0.0.1:8080/
    show peapod ps

    title "5. Where the time of its start went"
    shown "peapod why web | head -n 14"
    peapod why web >why.txt; head -n 14 why.txt
    say "... and so on, for each container"

    title "6. Look inside"
    show peapod logs --tail 2 web
    say "the sidecar sees the web server's processes, and peapod's own PID 1"
    show peapod exec web -c writer -- ps -o pid,user,comm

    title "7. Kill the daemon: the pod does not notice, and neither does a command that runs in it"
    before=$(processes)
    show_beside session.txt peapod exec web -c writer -- sh -c 'for second in 1 2 3; do echo "second $second"; sleep 1; done'
    wait_for "its first line" grep -q 'second 1' session.txt
    shown "kill -9 $daemon"
    kill -KILL "$daemon"; wait "$daemon" 2>/dev/null || :
    daemon=
    show curl -fsS -m 5 http://127.0.0.1:8080/
    serve
    wait "$beside" || fail "the command in the container ended with $?"
    sed 's/^/  /' session.txt
    [ "$(tail -n 1 session.txt)" = "second 3" ] || fail "the command did not go on"
    [ "$(processes)" = "$before" ] || fail "the pod's processes are others now"
    say "the same processes as before: $before"

    title "8. Change the manifest: what has changed is replaced"
    show sed -i 's/written by/changed by/' web.yaml
    show peapod apply web.yaml
    wait_for "the changed page" grep_page 'changed by'
    show curl -fsS -m 5 http://127.0.0.1:8080/

    title "9. Without a registry"
    show peapod export docker.io/library/busybox:1 -o busybox.tar
    show peapod down web.yaml
    show peapod rmi docker.io/library/busybox:1
    [ -n "${DEMO_PUBLIC:-}" ] || { say "the registry is stopped"; registry stop; }
    show peapod import busybox.tar
    offline >offline.yaml
    say "imagePullPolicy: Never"
    show peapod run offline.yaml

    title "10. Nothing is left"
    [ "$(peapod ps -a -o json)" = "[]" ] || { peapod ps -a; fail "a pod is left"; }
    show peapod ps -a
    kill "$daemon"; wait "$daemon" || fail "peapod ended with an error"
    daemon=
    left=$(leavings); [ -z "$left" ] || fail "left behind: $left"
    say "no process, no mount, no network namespace, no cgroup"
}

# Where the images of examples/ come from.
images() {
    settings=()
    [ -z "${DEMO_PUBLIC:-}" ] || return 0
    title "2. A registry, which stands in for docker.io"
    registry start
    tests/images/build.sh push demo | sed -n 's|^library/|  docker.io/library/|p'
    mkdir -p "$NODE_DIR/demo/certs.d/docker.io"
    printf 'server = "http://127.0.0.1:5000"\n' >"$NODE_DIR/demo/certs.d/docker.io/hosts.toml"
    settings=(--set "image.hosts_dirs=[\"$NODE_DIR/demo/certs.d\"]")
}
registry() { REGISTRY_DIR=$NODE_DIR/demo/registry "$root/tests/registry.sh" "$@"; }

show_beside() {         # FILE COMMAND...: it goes on meanwhile
    shown "$(words "${@:2}")&"
    "${@:2}" >"$1" &
    beside=$!
}
grep_page() { curl -fsS -m 2 http://127.0.0.1:8080/ | grep "$1"; }
offline() {
    cat <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: offline}
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: docker.io/library/busybox:1
      imagePullPolicy: Never
      command: [echo, "no registry was asked"]
Y
}

# Starts the daemon, on the state of the one before if there was one.
serve() {
    shown "peapod serve --state-root ... --run-root ..."
    # Ctrl-C is for the pod: with the daemon gone nobody could stop it gracefully.
    setsid peapod serve --state-root "$NODE_DIR/demo/state" --run-root "$NODE_DIR/demo/run" --set "shim.path=$PEAPOD_SHIM" \
        "${settings[@]}" >>"$NODE_DIR/demo/peapod.log" 2>&1 </dev/null &
    daemon=$!
    wait_for "peapod's socket" peapod ps
}

# The pod's lasting processes, by name and number.
processes() { pgrep -lf '^[^ ]*(containerd-shim|peapod-init)|^nginx' | awk '{ print $2, $1 }' | sort | tr '\n' ' '; }

leavings() {
    local try left
    for try in $(seq 50); do
        left=$(
            pgrep -af '^[^ ]*(containerd-shim|crun|runc|peapod-init|nginx)' || :
            awk -v dir="$NODE_DIR/demo/" 'index($5, dir) == 1 && $5 != dir "run" { print $5 }' /proc/self/mountinfo
            ls /var/run/netns 2>/dev/null || :
            find /sys/fs/cgroup -mindepth 3 -type d -path '*/peapod/*' 2>/dev/null || :
        )
        [ -n "$left" ] || return 0
        sleep 0.1
    done
    echo "$left"
}

finish() {              # of the part in the node, whatever happened
    local code=$?
    trap - EXIT
    set +e
    [ $code = 0 ] || { echo "--- the end of peapod's log:"; tail -n 20 "$NODE_DIR/demo/peapod.log"; } >&2
    [ -z "$daemon" ] || [ $code = 0 ] || peapod down --grace 0 web.yaml >/dev/null 2>&1
    [ -z "$daemon" ] || { kill "$daemon"; wait "$daemon"; } 2>/dev/null
    registry stop
    exit $code
}

case ${1:-} in
'') outside ;;
inside) inside ;;
*) echo "scripts/demo.sh has no arguments" >&2; exit 2 ;;
esac
