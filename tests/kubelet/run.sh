#!/bin/bash
# A stock kubelet runs a static pod on peapod: it becomes Ready, a killed container comes back, the pod ends within its grace.
# Beside a peapod, inside a node: tests/node.sh with tests/with-peapod.sh tests/kubelet/run.sh [smoke]
# KUBELET_GATES are feature gates of the kubelet to be opened, with blanks in between. With EventedPLEG it has to notice all by events
# until the daemon is killed (then it falls back to lists); with CRIListStreaming the daemon's log, at level debug, has to show that
# lists are streamed. `smoke`: the pod becomes Ready and ends, nothing between.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
slow=${PEAPOD_TEST_SLOW:-1}           # times slower than others: limits are so much longer
out=$PEAPOD_OUT/kubelet; mkdir -p "$out"
dir=$(mktemp -d "$NODE_DIR/kubelet-XXXXXX"); chmod 755 "$dir"
. "$here/../checks.sh"
hopeless() { ! kill -0 "$kubelet" 2>/dev/null && echo "the kubelet has ended"; }
crictl() { timeout $((20 * slow)) "$PEAPOD_GOTOOLS/crictl" "$@"; }
get() { curl -fsSk -m $((10 * slow)) "$@"; }
contains() { local text=$1; shift; get "$@" | grep "$text"; }    # TEXT CURL-ARGUMENT...
pods() { get http://127.0.0.1:10255/pods; }
# FILTER: true of the pod's status, as the kubelet shows it
pod_has() { pods | jq -e --arg name "pea-$NODE" "[.items[] | select(.metadata.name == \$name)][0] | $1"; }
metric() { get http://127.0.0.1:10255/metrics | sed -n "s/^$1 //p"; }
listings() { metric kubelet_pleg_relist_duration_seconds_count; }
container_of() { crictl ps -q --no-trunc --label io.kubernetes.container.name="$1" | head -n 1; }
opened() { case " ${KUBELET_GATES:-} " in *" $1 "*) ;; *) return 1 ;; esac }
# Patterns of paths: of the pod's cgroup, and of a container's in it.
case ${PEAPOD_CGROUP_DRIVER:-cgroupfs} in
systemd) tree='*/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod*.slice' scope=cri-containerd- ;;
*) tree='*/kubepods/burstable/pod*' scope='' ;;
esac
cgroup_of() { find /sys/fs/cgroup -type d -path "$tree/$scope$1${scope:+.scope}" | grep .; }
process_of() { [ -n "$1" ] && find /sys/fs/cgroup -path "*/$scope$1*/cgroup.procs" -exec head -n 1 {} \; -quit; }
no_pod_cgroups() { [ -z "$(find /sys/fs/cgroup -type d -path "$tree")" ]; }
finish() {
    local code=$?
    trap - EXIT
    kill "$kubelet" 2>/dev/null; wait "$kubelet" 2>/dev/null
    "$here/clean.sh" "$dir" || [ $code != 0 ] || code=1
    exit $code
}

"$here/kubelet.sh" "${CONTAINER_RUNTIME_ENDPOINT#unix://}" "$dir" >"$out/kubelet.log" 2>&1 </dev/null &
kubelet=$!
trap finish EXIT
trap 'exit 130' INT; trap 'exit 143' TERM

comes_up() {
    SECONDS=0
    sed "s|REGISTRY|$PEAPOD_REGISTRY|; s|PATIENCE|$slow|" "$here/pod.yaml" >"$dir/manifests/.pea.yaml"
    mv "$dir/manifests/.pea.yaml" "$dir/manifests/pea.yaml"

    until_ok 60 "the pod is Ready, by its exec and http probes" pod_has '.status.conditions[] | select(.type == "Ready") | .status == "True"'
    pods | jq '[.items[] | .status]' >"$out/ready.json" 2>/dev/null
    check "the init container has completed" pod_has '.status.initContainerStatuses[0].state.terminated.reason == "Completed"'
    check "both containers run" pod_has '[.status.containerStatuses[] | select(.ready and .state.running)] | length == 2'
    local ip; ip=$(pods | jq -r '.items[0].status.podIP')
    check "the page that init made comes from the pod's address $ip" contains 'made by init' "http://$ip/"
    check "the log is where the kubelet looks" grep -rq 'stdout F helper is up' "$dir/pod-logs"
    check "the kubelet shows it" contains 'helper is up' "https://127.0.0.1:10250/containerLogs/default/pea-$NODE/helper"
    check "the kubelet runs a command in it" contains hello -X POST "https://127.0.0.1:10250/run/default/pea-$NODE/helper?cmd=echo%20hello"
    check "it sits in the kubelet's own cgroup tree" cgroup_of "$(container_of web)"
}

summary() { get http://127.0.0.1:10255/stats/summary | jq -e ".pods[] | select(.podRef.name == \"pea-$NODE\") | $1"; }
# A line of /metrics/cadvisor has these labels, in any order, and a value above 0.
told() {                # METRIC LABEL="VALUE"...
    local lines label; lines=$(get http://127.0.0.1:10255/metrics/cadvisor | grep "^$1{") || return; shift
    for label; do lines=$(grep -F "$label" <<<"$lines") || return; done
    grep -qE '\} [1-9]' <<<"$lines"
}
each_once() {
    local series; series=$(get http://127.0.0.1:10255/metrics/cadvisor | grep '^container_' | sed 's/} .*//' | sort) && [ -z "$(uniq -d <<<"$series")" ]
}
statistics() {
    local of_pod=(namespace=\"default\" "pod=\"pea-$NODE\"") image="image=\"$PEAPOD_REGISTRY/peapod/web:1\""
    check "its statistics are there" summary '.containers | length == 2'
    until_ok 30 "metrics have memory, by container and image" told container_memory_working_set_bytes "${of_pod[@]}" container=\"web\" "$image"
    check "and limits" told container_spec_memory_limit_bytes "${of_pod[@]}" container=\"web\" "$image"
    check "and what is written" told container_fs_usage_bytes "${of_pod[@]}" container=\"helper\" device=\"
    check "and what is open" told container_file_descriptors "${of_pod[@]}" container=\"helper\"
    # Seconds are told in whole numbers. (It ends by timeout's signal, which the kubelet calls a failure.)
    curl -sk -m $((60 * slow)) -o /dev/null -X POST "https://127.0.0.1:10250/run/default/pea-$NODE/helper?cmd=timeout%205%20dd%20if=/dev/zero%20of=/dev/null%20bs=1M"
    until_ok 60 "and processor time, which grows" told container_cpu_usage_seconds_total "${of_pod[@]}" container=\"helper\" cpu=\"total\"
    check "and traffic, of the pod" told container_network_receive_bytes_total "${of_pod[@]}" container=\"\" interface=\"eth0\"
    check "of each series once" each_once
    check "the summary has the pod's traffic, memory and processes" summary '.network.rxBytes > 0 and .memory.workingSetBytes > 0 and .process_stats.process_count >= 2'
    check "and what each container uses" summary '[.containers[] | select(.cpu.usageCoreNanoSeconds > 0 and .memory.workingSetBytes > 0 and .rootfs.usedBytes != null)] | length == 2'
}

gates() {
    if opened EventedPLEG; then
        check "the kubelet hears of all this by events" [ "$(metric kubelet_evented_pleg_connection_success_count)" = 1 ]
        listed=$(listings)
    fi
    if opened CRIListStreaming; then
        check "lists are streamed to it" grep -q 'call="StreamContainers".*answered' "${PEAPOD_LOG:-$PEAPOD_OUT/peapod.log}"
    fi
}

# One of the lists that it makes every five minutes anyway may come between.
by_events() { [ $(($(listings) - listed)) -le 1 ] && [ "$(metric kubelet_evented_pleg_connection_error_count)" = 0 ]; }
another_web() { local now; now=$(container_of web) && [ -n "$now" ] && [ "$now" != "$1" ] && [ "$(crictl pods -q | wc -l)" = 1 ]; }
# The first back-off is over ten seconds after the death: a slow kubelet looks too late to wait at all. The next is longer.
killed_until_it_waits() {
    ! pod_has '.status.containerStatuses[] | select(.name == "web") | .state.waiting.reason == "CrashLoopBackOff"' || return 0
    local process; process=$(process_of "$(container_of web)") && [ -n "$process" ] && kill -KILL "$process"
    return 1
}
# The kubelet notices, and starts it again.
killed_containers() {
    SECONDS=0
    local web; web=$(container_of web)
    kill -KILL "$(process_of "$web")"
    until_ok 60 "a killed container is started again" pod_has '.status.containerStatuses[] | select(.name == "web") | .restartCount == 1 and .ready'
    check "how it ended is told" pod_has '.status.containerStatuses[] | select(.name == "web") | .lastState.terminated | .exitCode == 137 and .reason == "Error"'
    check "it is another container in the same pod" another_web "$web"
    # Again, soon after: now with back-off.
    until_ok 30 "killed again it waits with back-off" killed_until_it_waits
    until_ok 60 "and is started again" pod_has '.status.containerStatuses[] | select(.name == "web") | .restartCount >= 2 and .ready'
    if opened EventedPLEG; then
        check "without lists, and the stream has not ended" by_events
    fi
}

seen() { pods | jq -c '[.items[] | .metadata.uid, .status.podIP, (.status.containerStatuses[] | .containerID, .restartCount)]'; }
listed_again() { [ "$(listings)" -ge $((listed + 3)) ]; }
# The daemon dies and comes back; the pod and the kubelet's view of it stay as they are.
killed_daemon() {
    local before; before=$(seen)
    SECONDS=0
    check "the kubelet sees both containers" jq -e 'length == 6' <<<"$before"
    "$PEAPOD_RESTART"
    until_ok 20 "a daemon killed and started again answers" crictl version
    listed=$(listings)
    until_ok 30 "the kubelet has looked at all pods three times" listed_again
    check "to the kubelet nothing has happened" [ "$(seen)" = "$before" ]
}

not_ready() { crictl pods -o json --id "$1" | jq -e '.items[0].state == "SANDBOX_NOTREADY"'; }
another_pod() { local now; now=$(crictl pods -q --no-trunc --state ready); [ -n "$now" ] && [ "$now" != "$1" ]; }
# A shim dies: that is the end of the pod, and the kubelet makes another.
killed_shim() {
    SECONDS=0
    local sandbox; sandbox=$(crictl pods -q --no-trunc --state ready)
    # The oldest: a child that is about to run a command is called so, too.
    kill -KILL "$(pgrep -o -f "containerd-shim-peapod-v1 .*-id $sandbox")"
    until_ok 5 "a pod whose shim was killed is not ready" not_ready "$sandbox"
    until_ok 60 "the kubelet makes another" another_pod "$sandbox"
    until_ok 90 "which becomes Ready" pod_has '.status.conditions[] | select(.type == "Ready") | .status == "True"'
}

# Succeeds, and lists nothing.
none() { local found; found=$(crictl "$@") && [ -z "$found" ]; }
ended() { none ps -q && none pods -q --state ready; }
last_words() { crictl logs "$1" 2>/dev/null | grep bye || grep -rq 'stdout F bye' "$dir/pod-logs"; }
ends() {
    SECONDS=0
    local helper; helper=$(container_of helper)
    cp "$(readlink -f "$(find "$dir/pod-logs" -path '*helper*' -name '*.log' | head -n 1)")" "$out/helper.log" 2>/dev/null
    rm "$dir/manifests/pea.yaml"
    until_ok 20 "without its file the pod ends" ended
    check "within its grace of 10 s" [ $SECONDS -le $((10 * slow)) ]
    check "by its own last words" last_words "$helper"
    until_ok 90 "and is removed" none pods -q
    until_ok 30 "with its cgroups" no_pod_cgroups
}

until_ok 60 "the kubelet is healthy" get http://127.0.0.1:10248/healthz || exit 1
comes_up
[ "${1:-}" = smoke ] || { statistics; gates; killed_containers; killed_daemon; killed_shim; }
ends
counted
