# Ephemeral containers on $node, and a pod with all of its namespaces.
pod_ready "suspect-$node" "$node" "cd /tmp; echo evidence >clue; $idle" >/dev/null
ephemeral() { pod_has "suspect-$node" ".status.ephemeralContainerStatuses[] | select(.name == \"$1\") | $2"; }

look() { echo 'cat /proc/1/root/tmp/clue; exit 3' | k debug "suspect-$node" -i --image=peapod/shell:1 --target=main --container=look -- sh; }
check "debug sees the target's processes, and through them its files" bash -c "grep -q evidence <<<\"\$1\"" -- "$(look 2>&1)"
until_ok 30 "how it ended is told" ephemeral look '.state.terminated.exitCode == 3'
check "debug -it" exits 0 \
    /usr/bin/python3 -B "$here/terminal.py" 35x105 'again:stty size~35 105' 'send:exit' -- \
    "$kubectl" debug "suspect-$node" -it --image=peapod/shell:1 --target=main --container=typed -- sh
check "the pod has not noticed" pod_has "suspect-$node" '.status.containerStatuses[0] | .restartCount == 0 and .ready'

# The node's mounts, network, processes.
call node "$kubectl" debug "node/$node" -i --image=peapod/shell:1 -- sh
say node 'cat /host/etc/hosts; echo "init: $(cat /host/proc/1/comm)"; ip -o address show node0
    echo "kubelets: $(grep -lx kubelet /proc/[0-9]*/comm | wc -l)"; echo told'
until_ok 60 "debug of a node" heard node told
check "has its files" heard node "${node_address[$node]} $node"
check "and what is mounted there" heard node "^init: $(in_node "$node" run cat /proc/1/comm)$"
check "and its network" heard node "inet ${node_address[$node]}/24"
check "and its processes" heard node '^kubelets: [1-9]'
say node exit
wait "${call_pid[node]}"
hang_up node
