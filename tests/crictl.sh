#!/bin/bash
# A pod by hand, with crictl alone: each of its commands at least once, those for people in a terminal.
# Runs beside a peapod: tests/node.sh with tests/with-peapod.sh tests/crictl.sh
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../scripts/env.sh"
binary=$PEAPOD_GOTOOLS/crictl
dir=$(mktemp -d "$NODE_DIR/crictl-XXXXXX"); trap 'rm -rf "$dir"' EXIT
tries() { echo "$1" >>"$dir/tried"; }
crictl() { tries "$1"; timeout 60 "$binary" -t 30s "$@"; }
# One that runs beside the rest; its process is $!.
beside() { tries "$1"; exec timeout 60 "$binary" -t 30s "$@"; }
# A line of a shell, in a terminal of 97 columns and 31 rows.
terminal() { tries "$1"; timeout 60 script -qec "stty cols 97 rows 31; exec $binary -t 30s $*" /dev/null; }
passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
# is WHAT EXPECTED FOUND
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: wanted \"$2\", got \"$3\""; fi; }
# has WHAT PATTERN TEXT
has() { if grep -Eq -- "$2" <<<"$3"; then ok; else bad "$1: no \"$2\" in: $3"; fi; }
# Leaves what it wrote in $output. crictl warns on stderr.
does() { local what=$1; shift; if output=$("$@" 2>"$dir/stderr"); then ok; else bad "$what: $(head -c 500 "$dir/stderr")"; return 1; fi; }
# Succeeds, and says nothing.
finds_nothing() { does "$@" && is "$1" "" "$output"; }
count() { echo "counted $passed passed, $failed failed"; [ $failed = 0 ]; }
must() { does "$@" || { echo "nothing more to try without this"; count; exit 1; }; }
refuses() { local what=$1 words=$2; shift 2; if output=$("$@" 2>&1); then bad "$what: succeeded: $output"; else has "$what" "$words" "$output"; fi; }
until_is() {            # WHAT EXPECTED CMD...: within ten seconds
    local what=$1 expected=$2 found try; shift 2
    for try in $(seq 200); do found=$("$@" 2>/dev/null); [ "$found" = "$expected" ] && { ok; return; }; sleep 0.05; done
    bad "$what: wanted \"$expected\", got \"$found\""
}
until_has() { until_is "$1" 1 bash -c "tr -d '\r' <'$3' | grep -Ecm1 -- '$2'"; }      # WHAT PATTERN FILE
state() { crictl inspect -o json "$1" | jq -r .status.state; }

shell=$PEAPOD_REGISTRY/peapod/shell:1
has version 'RuntimeName: *peapod' "$(crictl version)"
conditions=$(crictl info | jq -r '.status.conditions[] | select(.status) | .type')
has completion 'complete .*crictl' "$(crictl completion bash)"
export CRI_CONFIG_FILE=$dir/crictl.yaml; : >"$CRI_CONFIG_FILE"
does config crictl config --set pull-image-on-create=false
is "config --get" false "$(crictl config --get pull-image-on-create)"
has "runtime-config" 'cgroup driver: +(CGROUPFS|SYSTEMD)' "$(crictl runtime-config)"
does update-runtime-config crictl update-runtime-config --pod-cidr 10.91.0.0/16
has "the pod CIDR" '10\.91\.0\.0/16' "$(crictl info)"
refuses "update-runtime-config with nonsense" 'InvalidArgument.*is not a range' crictl update-runtime-config --pod-cidr nonsense
has metricdescs '"container_cpu_usage_seconds_total"' "$(crictl metricdescs -o json)"
has "runtime condition" '^RuntimeReady$' "$conditions"; has "network condition" '^NetworkReady$' "$conditions"

must pull crictl pull "$shell"
id=$(crictl images -q "$shell"); has "image id" '^sha256:[0-9a-f]{64}$' "$id"
is inspecti "$shell" "$(crictl inspecti -o json "$shell" | jq -r '.status.repoTags[0]')"
is "inspecti by short id" "$id" "$(crictl inspecti -o json "${id:7:13}" | jq -r .status.id)"
has imagefsinfo mountpoint "$(crictl imagefsinfo -o json)"
refuses "pull of what is not there" 'not found|NotFound' crictl pull "$PEAPOD_REGISTRY/peapod/missing:1"

mkdir "$dir/logs"
cat >"$dir/pod.json" <<J
{"metadata": {"name": "by-hand", "namespace": "default", "uid": "uid-$$", "attempt": 0}, "hostname": "by-hand",
 "log_directory": "$dir/logs", "labels": {"app": "smoke"}, "linux": {}}
J
cat >"$dir/container.json" <<J
{"metadata": {"name": "main"}, "image": {"image": "$shell"}, "log_path": "main.log", "labels": {"part": "main"},
 "command": ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo hello from \$(hostname); echo complaint >&2; while :; do sleep 0.1; done"],
 "linux": {}}
J
must runp crictl runp "$dir/pod.json"; pod=$output
has "pod id" '^[0-9a-f]{64}$' "$pod"
is "pods by label" "$pod" "$(crictl pods -q --no-trunc --label app=smoke)"
finds_nothing "pods by another label" crictl pods -q --label app=other
has "inspectp ip" '^[0-9]+(\.[0-9]+){3}$' "$(crictl inspectp -o json "${pod:0:10}" | jq -r .status.network.ip)"
refuses "inspectp of an unknown pod" 'NotFound|not found' crictl inspectp 0123456789ab

must create crictl create "$pod" "$dir/container.json" "$dir/pod.json"; container=$output
is "state when created" CONTAINER_CREATED "$(state "$container")"
(beside events -o json >"$dir/events") & events=$!
until_has "events of what is there" CONTAINER_CREATED_EVENT "$dir/events"
must start crictl start "$container"
until_has "the event of the start" CONTAINER_STARTED_EVENT "$dir/events"
kill "$events"; wait "$events" 2>/dev/null
has "whose events" "\"$container\"" "$(cat "$dir/events")"
is "state when started" CONTAINER_RUNNING "$(state "$container")"
is "ps by pod" "$container" "$(crictl ps -q --no-trunc --pod "$pod")"
until_is "logs" "hello from by-hand" bash -c "'$PEAPOD_GOTOOLS/crictl' logs $container 2>/dev/null"
until_is "logs of stderr" "complaint" bash -c "'$PEAPOD_GOTOOLS/crictl' logs $container 2>&1 >/dev/null"
is "exec -s" "by-hand" "$(crictl exec -s "$container" hostname)"
refuses "exec -s that fails" 'exited with 7:' crictl exec -s "$container" sh -c 'exit 7'
(beside logs -f "$container" >"$dir/followed" 2>/dev/null) & follower=$!
until_has "logs -f" '^hello from by-hand$' "$dir/followed"
is "logs --tail" 1 "$(crictl logs --tail 1 "$container" 2>&1 | wc -l)"
has "logs -t" '^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*hello' "$(crictl logs -t -s stdout "$container")"

size='until [ "$(stty size)" = "31 97" ]; do :; done; echo "size $(stty size)"; exit 6'
refuses "exec -it that fails" 'size 31 97' terminal exec -it "$container" sh -c "'$size'" </dev/null
has "its exit code" 'exit code 6' "$output"
is "exec -i" "in and out" "$(echo "in and out" | crictl exec -i "$container" cat)"
has "exec -it" 'is a terminal' \
    "$(terminal exec -it "$container" sh -c "'test -t 0 && test -t 1 && echo is a terminal'" </dev/null)"

does "a web server" crictl exec -s "$container" sh -c 'mkdir /www && echo a page >/www/index.html && httpd -p 8081 -h /www'
(beside port-forward "$pod" 18081:8081 >"$dir/forward" 2>&1) & forward=$!
until_has port-forward 'Forwarding from 127\.0\.0\.1:18081' "$dir/forward"
page() { exec 8<>/dev/tcp/127.0.0.1/18081; printf 'GET / HTTP/1.0\r\n\r\n' >&8; cat <&8; exec 8<&-; }
has "a page through port-forward" '^a page$' "$(page)"
kill "$forward"; wait "$forward" 2>/dev/null

does update crictl update --memory 67108864 --cpu-share 333 "$container"
is "the limit of memory" 67108864 "$(crictl inspect -o json "$container" | jq -r .status.resources.linux.memoryLimitInBytes)"
is "the shares" 333 "$(crictl inspect -o json "$container" | jq -r .status.resources.linux.cpuShares)"
has stats "\"$container\"" "$(crictl stats -o json "$container")"
has "stats as a table" "^${container:0:13} .*[0-9]" "$(crictl stats)"
is statsp "$pod" "$(crictl statsp -o json "$pod" | jq -r '.stats[].attributes.id')"
has "statsp as a table" "^by-hand .*[0-9]|${pod:0:13}" "$(crictl statsp)"
has metricsp "$pod" "$(crictl metricsp -o json)"
has "what metricsp counts" '"container_memory_usage_bytes"' "$(crictl metricsp -o json)"
if [ "${HANDLER:-crun}" = runc ] && criu check >/dev/null 2>&1; then
    does checkpoint crictl checkpoint --export "$dir/checkpoint.tar" "$container"
    has "what a checkpoint has" '^config.dump$' "$(tar -tf "$dir/checkpoint.tar")"
else
    refuses checkpoint 'Unimplemented|CRIU said' crictl checkpoint --export "$dir/checkpoint.tar" "$container"
    [ ! -e "$dir/checkpoint.tar" ] && ok || bad "a refused checkpoint left a file"
fi
mv "$dir/logs/main.log" "$dir/logs/rotated.log"
does "logs -r" crictl logs -r "$container"
[ -e "$dir/logs/main.log" ] && ok || bad "no log after it was opened anew"

sed "s/by-hand/by-run/; s/uid-/uid-run-/" "$dir/pod.json" >"$dir/run-pod.json"
cat >"$dir/run.json" <<J
{"metadata": {"name": "shell"}, "image": {"image": "$shell"}, "log_path": "shell.log", "command": ["sh"], "stdin": true, "tty": true,
 "linux": {}}
J
must run crictl run "$dir/run.json" "$dir/run-pod.json"; second=$output
is "state after run" CONTAINER_RUNNING "$(state "$second")"
mkfifo "$dir/typed"
(terminal attach -it "$second" <"$dir/typed" >"$dir/attached") & attach=$!
exec 7>"$dir/typed"
echo 'until [ "$(stty size)" = "31 97" ]; do :; done; echo $((40+2)) of $(stty size)' >&7
until_has "attach -it" '^42 of 31 97' "$dir/attached"
echo 'exit 3' >&7
wait "$attach"; is "attach's status" 0 $?
exec 7>&-
until_is "state after attach" CONTAINER_EXITED state "$second"
does "rmp -f" crictl rmp -f "$(crictl inspect -o json "$second" | jq -r .info.sandboxID)"

refuses "rm of a running one without force" "$container.* is running, please stop it first" crictl rm "$container"

does stop crictl stop --timeout 10 "$container"
wait "$follower"; is "logs -f when the container has ended" 0 $?
is "state when stopped" CONTAINER_EXITED "$(state "$container")"
is "exit code" 3 "$(crictl inspect -o json "$container" | jq -r .status.exitCode)"
has "last words" bye "$(crictl logs "$container" 2>/dev/null)"
does rm crictl rm "$container"
does stopp crictl stopp "$pod"
is "state of a stopped pod" SANDBOX_NOTREADY "$(crictl inspectp -o json "$pod" | jq -r .status.state)"
does rmp crictl rmp "$pod"
finds_nothing "pods in the end" crictl pods -q
does rmi crictl rmi "$shell"
finds_nothing "images in the end" crictl images -q

commands=$("$binary" --help | awk '/^[A-Z]+( [A-Z]+)*:$/ { on = $0 == "COMMANDS:"; next } on && NF { sub(",", "", $1); print $1 }')
has "commands of crictl" '^exec$' "$commands"
is "commands that were not tried" help "$(grep -vxFf "$dir/tried" <<<"$commands")"

count
