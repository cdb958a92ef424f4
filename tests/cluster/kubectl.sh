# Sourced: what checks say to the cluster.
kubectl=$PEAPOD_GOTOOLS/kubectl
k() { timeout "${LIMIT:-120}" "$kubectl" "$@"; }

nodes_ready() {         # COUNT: exactly so many
    k get nodes -o json |
        jq -e --argjson count "$1" '[.items[] | select(any(.status.conditions[]; .type == "Ready" and .status == "True"))] | length == $count'
}
# FILTER: true of the list of pods that have the label app=NAME
pods_have() { k get pods -l "app=$1" -o json | jq -e "[.items[] | select(.metadata.deletionTimestamp == null)] | $2"; }
pod_has() { k get pod "$1" -o json | jq -e "$2"; }
one_of() { k get pods -l "app=$1" --field-selector "spec.nodeName=$2,status.phase=Running" -o name | head -n 1; }

# A pod with one container `main`, of the image IMAGE, which runs a script: POD-NAME NODE SCRIPT [MORE OF THE CONTAINER, YAML]
pod() {
    k apply -f - <<Y
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  nodeSelector: {kubernetes.io/hostname: $2}
  terminationGracePeriodSeconds: 1
  containers:
    - {name: main, image: "peapod/${IMAGE:-shell}:1", command: [sh, -c, $(jq -n --arg script "$3" '$script')]${4:+, $4}}
Y
}
pod_ready() { pod "$@" && k wait "pod/$1" --for=condition=Ready --timeout=60s; }
# A Deployment, DaemonSet or StatefulSet whose pods have the label app=NAME: KIND NAME [LINE OF ITS SPEC]... <SPEC OF ITS PODS, YAML
pods_of() {
    k apply -f - <<Y
apiVersion: apps/v1
kind: $1
metadata: {name: $2}
spec:
  selector: {matchLabels: {app: $2}}
  template:
    metadata: {labels: {app: $2}}
    spec:
$(sed 's/^/      /')
$([ $# = 2 ] || printf '  %s\n' "${@:3}")
Y
}

idle="trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"

# True if the command's exit code is that: EXPECTED CMD...
exits() { local code; "${@:2}"; code=$?; echo "exit code $code"; [ $code = "$1" ]; }
# True if the command prints exactly that: EXPECTED CMD...
prints() { local said; said=$("${@:2}"); echo "said: $said"; [ "$said" = "$1" ]; }
digest() { sha256sum | cut -d' ' -f 1; }

# Commands that go on, beside the checks: with a pipe into which is spoken, and a file of what they have said.
declare -A call_pid call_stdin
call() {                # NAME CMD...
    rm -f "$dir/$1.in"; mkfifo "$dir/$1.in"
    "${@:2}" <"$dir/$1.in" >"$dir/$1.out" 2>&1 &
    call_pid[$1]=$!
    exec {call_stdin[$1]}>"$dir/$1.in"
}
say() { echo "$2" >&"${call_stdin[$1]}"; }
heard() { grep -q -- "$2" "$dir/$1.out" || { tail -n 5 "$dir/$1.out"; false; }; }
hang_up() {
    kill "${call_pid[$1]}" 2>/dev/null; wait "${call_pid[$1]}" 2>/dev/null
    exec {call_stdin[$1]}>&-
    unset "call_pid[$1]"
}

# A port-forward as a call; what $port leads to then: NAME POD PORT
forward() {
    call "$1" "$kubectl" port-forward "pod/$2" ":$3"
    until_ok 20 "port-forward to $2" heard "$1" '^Forwarding from 127.0.0.1' || return
    port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$dir/$1.out" | head -n 1)
}
