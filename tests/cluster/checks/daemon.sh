# The daemon of node two, beneath commands, connections and rollouts: killed and started again, and replaced by another.
script='head -c 100000000 /dev/urandom >/srv/www/large; sha256sum /srv/www/large; nginx -g "daemon off;" &
    i=0; while :; do i=$((i + 1)); echo "line $i"; sleep 0.05; done'
IMAGE=web pod_ready lasting two "$script" 'readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}' >/dev/null
cp "$PEAPOD_BIN" "$dir/peapod"
restart() { in_node two run "$NODE_DIR/two/restart" "$@"; }
pods_of Deployment growing 'replicas: 1' >/dev/null <<Y
nodeSelector: {kubernetes.io/hostname: two}
terminationGracePeriodSeconds: 1
containers: [{name: main, image: peapod/shell:1, command: [sh, -c, "$idle"]}]
Y
check "a Deployment is on node two" k rollout status deployment/growing --timeout=60s
large=$(k logs lasting | sed -n 's| */srv/www/large$||p')
seen() {
    k get pods -o json | jq -c '[.items[] | select(.spec.nodeName == "two" and .metadata.labels.app == null and .metadata.deletionTimestamp == null)
        | .metadata.uid, .status.podIP, (.status.containerStatuses[] | .containerID, .restartCount)]'
}

replicas=1
over_it() {             # WHAT ARGUMENT-OF-RESTART...
    local what=$1 before; shift
    before=$(seen)
    check "what runs is seen" jq -e 'length >= 4' <<<"$before"
    call command "$kubectl" exec -i lasting -- sh -c 'while read -r line; do echo "heard $line"; done; exit 7'
    call typed /usr/bin/python3 -B "$here/terminal.py" 24x80 \
        'again:echo $((20 + 1))~\n21' "file:$dir/$what" 'again:echo $((20 + 2))~\n22' 'send:exit 3' -- "$kubectl" exec -it lasting -- sh
    call log "$kubectl" logs -f --tail=1 lasting
    say command before
    until_ok 20 "a command has begun" heard command 'heard before'
    until_ok 20 "one on a terminal" heard typed '^21'
    until_ok 20 "and a log" heard log line
    forward forward lasting 80
    # At most 40 MB a second: it is on its way while the daemon is away.
    curl -fsS -m 60 --limit-rate 40M "http://127.0.0.1:$port/large" -o "$dir/received" &
    local transfer=$!
    until_ok 20 "and a transfer" test -s "$dir/received"

    replicas=$((replicas + 5))
    k scale deployment/growing --replicas=$replicas >/dev/null
    check "the daemon is $what" restart "$@"
    touch "$dir/$what"
    say command after
    until_ok 20 "the command goes on" heard command 'heard after'
    wait "${call_pid[typed]}"
    check "so does that on the terminal, to its exit code" test $? = 3
    until_ok 20 "a new one runs beside it" k exec lasting -- touch "/tmp/$what"
    wait $transfer
    check "the transfer comes to its end" prints "$large" digest <"$dir/received"
    local line; line=$(k logs --tail=20 lasting | grep '^line ' | tail -n 1)
    until_ok 20 "the log is told on, $line" heard log "^$line$"
    check "without a gap" no_gap "$dir/log.out"
    check "a Deployment that was scaled meanwhile comes to be whole" k rollout status deployment/growing --timeout=90s
    check "to the kubelet nothing has happened to the others" prints "$before" seen
    for call in command typed log forward; do hang_up $call; done
}
no_gap() { awk '/^line / { if (last && $2 != last + 1) { print last, $2; bad = 1 } last = $2 } END { exit bad }' "$1"; }
over_it killed KILL
over_it replaced TERM "$dir/peapod"
k delete deployment/growing --wait=false >/dev/null
k delete pod lasting --wait=false >/dev/null
