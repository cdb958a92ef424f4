# Sourced: the cluster's nodes, each a node (tests/node.sh) inside the one in which this runs.
declare -A node_pid node_stdin node_address node_subnet
in_node() { NODE=$1 NODE_DIR=$NODE_DIR/$1 NODE_ADDRESS=${node_address[$1]} "$here/../node.sh" "${@:2}"; }
is_node_up() { [ -n "${node_pid[$1]:-}" ]; }
# Says which of them is over, without being told to end; false if none is.
has_ended() {
    local node
    for node in "${!node_pid[@]}"; do
        kill -0 "${node_pid[$node]}" 2>/dev/null || { echo "node $node has ended: $(tail -n 3 "$out/$node.log")"; return; }
    done
    false
}

node_up() {             # NAME ADDRESS PODS HANDLER
    node_address[$1]=$2 node_subnet[$1]=$3
    in_node "$1" up || return
    ip route replace "$3" via "$2"
    mkfifo "$NODE_DIR/$1.stdin"
    (
        export HANDLER=$4 PEAPOD_LOG=$out/$1-peapod.log KUBELET_LOG=$out/$1-kubelet.log
        export PEAPOD_CONFIG="[network]"$'\n'"subnets = [\"$3\"]"
        in_node "$1" run "$here/../with-peapod.sh" "$here/worker.sh" "$dir/$1.kubeconfig"
    ) <"$NODE_DIR/$1.stdin" >"$out/$1.log" 2>&1 &
    node_pid[$1]=$!
    exec {node_stdin[$1]}>"$NODE_DIR/$1.stdin"
}
# In order. A check of its own: that nothing of its pods is left then.
node_end() {
    local code
    echo end >&"${node_stdin[$1]}"
    wait "${node_pid[$1]}"; code=$?
    local what="node $1 ends and leaves nothing behind"
    if [ $code = 0 ]; then ok "$what"; else bad "$what" "$(cat "$out/$1.log")"; fi
}
# At once, with all that is in it, as if its power had failed.
node_down() {
    is_node_up "$1" || return 0
    in_node "$1" down
    exec {node_stdin[$1]}>&-
    unset "node_pid[$1]"
    ip route del "${node_subnet[$1]}" 2>/dev/null || :
}
