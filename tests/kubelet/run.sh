#!/bin/bash
# A stock kubelet runs a static pod on peapod: it becomes Ready, a killed container comes back, the pod ends within its grace.
# Beside a peapod, inside a node: tests/node.sh with tests/with-peapod.sh tests/kubelet/run.sh
# KUBELET_GATES are feature gates of the kubelet to be opened, with blanks in between. With EventedPLEG it has to notice all by events
# until the daemon is killed (then it falls back to lists); with CRIListStreaming the daemon's log, at level debug, has to show that
# lists are streamed.
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
out=$target/kubelet; mkdir -p "$out"
dir=$(mktemp -d "$NODE_DIR/kubelet-XXXXXX"); chmod 755 "$dir"
. "$here/../checks.sh"
hopeless() { ! kill -0 "$kubelet" 2>/dev/null && echo "the kubelet has ended"; }
crictl() { timeout 20 "$PEAPOD_GOTOOLS/crictl" "$@"; }
pods() { curl -fsS -m 5 http://127.0.0.1:10255/pods; }
# FILTER: true of the pod's status, as the kubelet shows it
pod_has() { pods | jq -e --arg name "pea-$NODE" "[.items[] | select(.metadata.name == \$name)][0] | $1"; }
metric() { curl -fsS -m 5 http://127.0.0.1:10255/metrics | sed -n "s/^$1 //p"; }
listings() { metric kubelet_pleg_relist_duration_seconds_count; }
container_of() { crictl ps -q --no-trunc --label io.kubernetes.container.name="$1" | head -n 1; }
finish() {
    kill "$kubelet" 2>/dev/null; wait "$kubelet" 2>/dev/null
    "$here/clean.sh" "$dir"
}

"$here/kubelet.sh" "${CONTAINER_RUNTIME_ENDPOINT#unix://}" "$dir" >"$out/kubelet.log" 2>&1 </dev/null &
kubelet=$!
trap finish EXIT
trap 'exit 130' INT; trap 'exit 143' TERM

until_ok 60 "the kubelet is healthy" curl -fsS -m 5 http://127.0.0.1:10248/healthz || exit 1
SECONDS=0
sed "s|REGISTRY|$PEAPOD_REGISTRY|" "$here/pod.yaml" >"$dir/manifests/.pea.yaml"
mv "$dir/manifests/.pea.yaml" "$dir/manifests/pea.yaml"

until_ok 60 "the pod is Ready, by its exec and http probes" pod_has '.status.conditions[] | select(.type == "Ready") | .status == "True"'
pods | jq '[.items[] | .status]' >"$out/ready.json" 2>/dev/null
check "the init container has completed" pod_has '.status.initContainerStatuses[0].state.terminated.reason == "Completed"'
check "both containers run" pod_has '[.status.containerStatuses[] | select(.ready and .state.running)] | length == 2'
ip=$(pods | jq -r '.items[0].status.podIP')
check "the page that init made comes from the pod's address $ip" bash -c "curl -fsS -m 5 http://$ip/ | grep -q 'made by init'"
check "the log is where the kubelet looks" bash -c "grep -rq 'stdout F helper is up' '$dir/pod-logs'"
check "the kubelet shows it" bash -c "curl -fsSk -m 5 https://127.0.0.1:10250/containerLogs/default/pea-$NODE/helper | grep -q 'helper is up'"
check "the kubelet runs a command in it" bash -c "curl -fsSk -m 10 -X POST 'https://127.0.0.1:10250/run/default/pea-$NODE/helper?cmd=echo%20hello' | grep -q hello"
check "its statistics are there" bash -c "curl -fsS -m 10 http://127.0.0.1:10255/stats/summary | jq -e '.pods[] | select(.podRef.name == \"pea-$NODE\") | .containers | length == 2'"
# A line of /metrics/cadvisor has these labels, in any order, and a value above 0.
told() {                # METRIC LABEL="VALUE"...
    local lines label; lines=$(curl -fsS -m 10 http://127.0.0.1:10255/metrics/cadvisor | grep "^$1{") || return; shift
    for label; do lines=$(grep -F "$label" <<<"$lines") || return; done
    grep -qE '\} [1-9]' <<<"$lines"
}
of_pod=(namespace=\"default\" "pod=\"pea-$NODE\"")
image="image=\"$PEAPOD_REGISTRY/peapod/web:1\""
until_ok 30 "metrics have memory, by container and image" told container_memory_working_set_bytes "${of_pod[@]}" container=\"web\" "$image"
check "and limits" told container_spec_memory_limit_bytes "${of_pod[@]}" container=\"web\" "$image"
check "and what is written" told container_fs_usage_bytes "${of_pod[@]}" container=\"helper\" device=\"
check "and what is open" told container_file_descriptors "${of_pod[@]}" container=\"helper\"
# Seconds are told in whole numbers.
curl -fsSk -m 60 -o /dev/null -X POST "https://127.0.0.1:10250/run/default/pea-$NODE/helper?cmd=dd%20if=/dev/zero%20of=/dev/null%20bs=1M%20count=40000"
until_ok 60 "and processor time, which grows" told container_cpu_usage_seconds_total "${of_pod[@]}" container=\"helper\" cpu=\"total\"
check "and traffic, of the pod" told container_network_receive_bytes_total "${of_pod[@]}" container=\"\" interface=\"eth0\"
check "of each series once" bash -c "curl -fsS -m 10 http://127.0.0.1:10255/metrics/cadvisor | grep '^container_' | sed 's/} .*//' | sort | uniq -d | wc -l | grep -qx 0"
summary() { curl -fsS -m 10 http://127.0.0.1:10255/stats/summary | jq -e ".pods[] | select(.podRef.name == \"pea-$NODE\") | $1"; }
check "the summary has the pod's traffic, memory and processes" summary '.network.rxBytes > 0 and .memory.workingSetBytes > 0 and .process_stats.process_count >= 2'
check "and what each container uses" summary '[.containers[] | select(.cpu.usageCoreNanoSeconds > 0 and .memory.workingSetBytes > 0 and .rootfs.usedBytes != null)] | length == 2'
web=$(container_of web)
check "it sits in the kubelet's own cgroup tree" bash -c "find /sys/fs/cgroup -type d -path '*/kubepods/burstable/pod*/$web' | grep -q ."

case " ${KUBELET_GATES:-} " in *" EventedPLEG "*)
    check "the kubelet hears of all this by events" [ "$(metric kubelet_evented_pleg_connection_success_count)" = 1 ]
    listed=$(listings) ;;
esac
case " ${KUBELET_GATES:-} " in *" CRIListStreaming "*)
    check "lists are streamed to it" grep -q 'call="StreamContainers".*answered' "${PEAPOD_LOG:-$target/peapod.log}" ;;
esac

# The kubelet notices, and starts it again.
SECONDS=0
pid=$(crictl inspect -o json "$web" | jq -r '.info.pid // empty')
[ -n "$pid" ] || pid=$(find /sys/fs/cgroup -path "*/$web/cgroup.procs" -exec head -n 1 {} \; -quit)
kill -KILL "$pid"
until_ok 60 "a killed container is started again" pod_has '.status.containerStatuses[] | select(.name == "web") | .restartCount == 1 and .ready'
check "how it ended is told" pod_has '.status.containerStatuses[] | select(.name == "web") | .lastState.terminated | .exitCode == 137 and .reason == "Error"'
check "it is another container in the same pod" bash -c "[ \"$(container_of web)\" != '$web' ] && [ \"$(crictl pods -q | wc -l)\" = 1 ]"
# Again, soon after: now with back-off.
pid=$(find /sys/fs/cgroup -path "*/$(container_of web)/cgroup.procs" -exec head -n 1 {} \; -quit)
kill -KILL "$pid"
until_ok 30 "killed again it waits with back-off" pod_has '.status.containerStatuses[] | select(.name == "web") | .state.waiting.reason == "CrashLoopBackOff"'
until_ok 60 "and is started again" pod_has '.status.containerStatuses[] | select(.name == "web") | .restartCount == 2 and .ready'

case " ${KUBELET_GATES:-} " in *" EventedPLEG "*)
    check "without a list, and the stream has not ended" [ "$(listings) $(metric kubelet_evented_pleg_connection_error_count)" = "$listed 0" ] ;;
esac

# The daemon dies and comes back; the pod and the kubelet's view of it stay as they are.
seen() { pods | jq -c '[.items[] | .metadata.uid, .status.podIP, (.status.containerStatuses[] | .containerID, .restartCount)]'; }
before=$(seen)
SECONDS=0
"$PEAPOD_RESTART"
until_ok 20 "a daemon killed and started again answers" crictl version
listed=$(listings)
listed_again() { [ "$(listings)" -ge $((listed + 3)) ]; }
until_ok 30 "the kubelet has looked at all pods three times" listed_again
check "to the kubelet nothing has happened" [ "$(seen)" = "$before" ]

# Its shim dies: that is the end of the pod, and the kubelet makes another.
SECONDS=0
sandbox=$(crictl pods -q --no-trunc --state ready)
shim=$(pgrep -f "containerd-shim-peapod-v1 .*-id $sandbox")
kill -KILL "$shim"
not_ready() { crictl pods -o json --id "$sandbox" | jq -e '.items[0].state == "SANDBOX_NOTREADY"'; }
until_ok 5 "a pod whose shim was killed is not ready" not_ready
another() { local now; now=$(crictl pods -q --no-trunc --state ready); [ -n "$now" ] && [ "$now" != "$sandbox" ]; }
until_ok 60 "the kubelet makes another" another
until_ok 90 "which becomes Ready" pod_has '.status.conditions[] | select(.type == "Ready") | .status == "True"'

SECONDS=0
helper=$(container_of helper)
cp "$(readlink -f "$(find "$dir/pod-logs" -path '*helper*' -name '*.log' | head -n 1)")" "$out/helper.log" 2>/dev/null
rm "$dir/manifests/pea.yaml"
ended() { [ -z "$(crictl ps -q)" ] && [ -z "$(crictl pods -q --state ready)" ]; }
until_ok 20 "without its file the pod ends" ended
check "within its grace of 10 s" [ $SECONDS -le 10 ]
check "by its own last words" bash -c "'$PEAPOD_GOTOOLS/crictl' logs $helper 2>/dev/null | grep -q bye || grep -rq 'stdout F bye' '$dir/pod-logs'"
until_ok 90 "and is removed" bash -c "[ -z \"\$('$PEAPOD_GOTOOLS/crictl' pods -q)\" ]"
until_ok 30 "with its cgroups" bash -c '[ -z "$(find /sys/fs/cgroup -type d -path "*/kubepods/burstable/pod*")" ]'

counted
