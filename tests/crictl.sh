#!/bin/bash
# A pod by hand, with crictl alone: pull, runp, create, start, list, inspect, logs, exec, stats, update, stop, remove.
# Runs beside a peapod: tests/node.sh with tests/with-peapod.sh tests/crictl.sh
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../scripts/env.sh"
crictl() { timeout 60 "$PEAPOD_GOTOOLS/crictl" -t 30s "$@"; }
dir=$(mktemp -d "$NODE_DIR/crictl-XXXXXX"); trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
# is WHAT EXPECTED FOUND
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: wanted \"$2\", got \"$3\""; fi; }
# has WHAT PATTERN TEXT
has() { if grep -Eq -- "$2" <<<"$3"; then ok; else bad "$1: no \"$2\" in: $3"; fi; }
# Leaves what it wrote in $output. crictl warns on stderr.
does() { local what=$1; shift; if output=$("$@" 2>"$dir/stderr"); then ok; else bad "$what: $(head -c 500 "$dir/stderr")"; return 1; fi; }
count() { echo "counted $passed passed, $failed failed"; [ $failed = 0 ]; }
must() { does "$@" || { echo "nothing more to try without this"; count; exit 1; }; }
refuses() { local what=$1 words=$2; shift 2; if output=$("$@" 2>&1); then bad "$what: succeeded: $output"; else has "$what" "$words" "$output"; fi; }
until_is() {            # WHAT EXPECTED CMD...: within ten seconds
    local what=$1 expected=$2 found try; shift 2
    for try in $(seq 200); do found=$("$@" 2>/dev/null); [ "$found" = "$expected" ] && { ok; return; }; sleep 0.05; done
    bad "$what: wanted \"$expected\", got \"$found\""
}
state() { crictl inspect -o json "$1" | jq -r .status.state; }

shell=$PEAPOD_REGISTRY/peapod/shell:1
has version 'RuntimeName: *peapod' "$(crictl version)"
conditions=$(crictl info | jq -r '.status.conditions[] | select(.status) | .type')
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
is "pods by another label" "" "$(crictl pods -q --label app=other)"
has "inspectp ip" '^[0-9]+(\.[0-9]+){3}$' "$(crictl inspectp -o json "${pod:0:10}" | jq -r .status.network.ip)"
refuses "inspectp of an unknown pod" 'NotFound|not found' crictl inspectp 0123456789ab

must create crictl create "$pod" "$dir/container.json" "$dir/pod.json"; container=$output
is "state when created" CONTAINER_CREATED "$(state "$container")"
must start crictl start "$container"
is "state when started" CONTAINER_RUNNING "$(state "$container")"
is "ps by pod" "$container" "$(crictl ps -q --no-trunc --pod "$pod")"
until_is "logs" "hello from by-hand" bash -c "'$PEAPOD_GOTOOLS/crictl' logs $container 2>/dev/null"
until_is "logs of stderr" "complaint" bash -c "'$PEAPOD_GOTOOLS/crictl' logs $container 2>&1 >/dev/null"
is "exec -s" "by-hand" "$(crictl exec -s "$container" hostname)"
refuses "exec -s that fails" 'exit( code|ed with)? 7|7' crictl exec -s "$container" sh -c 'exit 7'
does update crictl update --memory 67108864 "$container"
has "stats" "\"$container\"" "$(crictl stats -o json "$container")"
refuses "rm of a running one without force" . crictl rm "$container"

does stop crictl stop --timeout 10 "$container"
is "state when stopped" CONTAINER_EXITED "$(state "$container")"
is "exit code" 3 "$(crictl inspect -o json "$container" | jq -r .status.exitCode)"
has "last words" bye "$(crictl logs "$container" 2>/dev/null)"
does rm crictl rm "$container"
does stopp crictl stopp "$pod"
is "state of a stopped pod" SANDBOX_NOTREADY "$(crictl inspectp -o json "$pod" | jq -r .status.state)"
does rmp crictl rmp "$pod"
is "pods in the end" "" "$(crictl pods -q)"
does rmi crictl rmi "$shell"
is "images in the end" "" "$(crictl images -q)"

count
