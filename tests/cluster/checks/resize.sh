# Limits that change while a container runs on $node, compared with what the kernel has been told.
pod_ready "grows-$node" "$node" "$idle" 'resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 200m, memory: 64Mi}}' >/dev/null
container_id() { k get pod "grows-$node" -o 'jsonpath={.status.containerStatuses[0].containerID}'; }
id=$(container_id)

# Of the container's cgroup: CPU time in a period, weight, memory; both versions in the units of the first, of the pod's too.
limits() {              # DEPTH: 0 the container's, 1 the pod's
    # shellcheck disable=SC2016
    in_node "$node" run bash -c '
        of() {
            local at; at=$(find /sys/fs/cgroup -type d -name "$0" -path "*/kubepods/*" -exec test -e "{}/$2" \; -print -quit)
            [ "$1" = 0 ] || at=${at%/*}
            cat "$at/$2"
        }
        if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo $(of "$1" cpu.max | cut -d" " -f 1) $(of "$1" memory.max)
        else echo $(of "$1" cpu.cfs_quota_us) $(of "$1" memory.limit_in_bytes); fi' "${id##*/}" "$1"
}
weight() {
    # shellcheck disable=SC2016
    in_node "$node" run bash -c 'find /sys/fs/cgroup \( -path "*/kubepods/*/$0/cpu.shares" -o -path "*/kubepods/*/$0/cpu.weight" \) -exec cat {} +' \
        "${id##*/}"
}
resize() {              # CPU-REQUEST MEMORY-REQUEST CPU-LIMIT MEMORY-LIMIT
    k patch pod "grows-$node" --subresource resize -p "{\"spec\": {\"containers\": [{\"name\": \"main\", \"resources\": \
        {\"requests\": {\"cpu\": \"$1\", \"memory\": \"$2\"}, \"limits\": {\"cpu\": \"$3\", \"memory\": \"$4\"}}}]}}"
}
done_with() {           # CPU-LIMIT MEMORY-LIMIT
    pod_has "grows-$node" "(.status.conditions | all(.type != \"PodResizePending\" and .type != \"PodResizeInProgress\")) and
        .status.containerStatuses[0].resources.limits == {\"cpu\": \"$1\", \"memory\": \"$2\"}"
}
mebi=$((1 << 20))

check "a container begins with its limits" prints "20000 $((64 * mebi))" limits 0
before=$(weight)
check "a pod is resized" resize 300m 48Mi 400m 96Mi
until_ok 60 "which its status says" done_with 400m 96Mi
check "and the container's cgroup" prints "40000 $((96 * mebi))" limits 0
check "and the pod's" prints "40000 $((96 * mebi))" limits 1
check "it weighs more, $before before" test "$(weight)" -gt "$before"
check "a pod is made smaller again" resize 100m 32Mi 150m 80Mi
until_ok 60 "which its status says as well" done_with 150m 80Mi
check "and both cgroups" prints "15000 $((80 * mebi)) 15000 $((80 * mebi))" bash -c 'echo $1 $2' -- "$(limits 0)" "$(limits 1)"
check "it is the same container all the time" prints "$id" container_id
check "which was never started again" pod_has "grows-$node" '.status.containerStatuses[0].restartCount == 0'
