#!/bin/bash
# The unit of packaging/ under systemd, in the virtual machine: unit.sh DRIVER. The daemon is restarted, killed, stopped,
# started and reloaded below two pods, which must not notice: the same pods, processes and addresses, no gap in the log.
set -uo pipefail
driver=$1
passed=0 failed=0
ok() { passed=$((passed + 1)); echo "ok      $1"; }
bad() { failed=$((failed + 1)); echo "FAILED  $*"; }
is() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1: wanted \"$2\", got \"$3\""; fi; }
check() { local what=$1; shift; if "$@"; then ok "$what"; else bad "$what"; fi; }
until_ok() {            # WHAT CMD...: at most 180 s, for a machine with other work
    local what=$1 limit=$((SECONDS + 180)); shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $limit ] || { bad "$what: waited in vain for: $*"; return 1; }
        sleep 0.1
    done
}
finish() {
    if [ $failed != 0 ]; then systemctl status --no-pager -n 0 peapod; journalctl -b --no-pager -u peapod | tail -n 30; fi
    systemctl stop peapod
    echo "counted $passed passed, $failed failed"; [ $failed = 0 ]
}
must() { local what=$1; shift; if output=$("$@" 2>/tmp/stderr); then ok "$what"; else bad "$what: $(cat /tmp/stderr)"; finish; exit 1; fi; }
crictl() { timeout 120 /usr/lib/peapod-tests/crictl --config /etc/peapod/crictl.yaml -t 60s "$@"; }

# Another driver's run before this one has logs of the same names.
dir=/var/tmp/unit; rm -rf "$dir"; mkdir -p "$dir/logs" /etc/peapod
echo "[cgroup]"$'\n'"driver = \"$driver\"" >/etc/peapod/config.toml
main() { systemctl show -P MainPID peapod; }
answers() { peapod ps; }
# Everything of the pods that may not change: themselves, their processes by number, addresses, states.
known() {
    peapod ps -o json | jq -S .
    local id; for id in $running; do echo "$id" "$(init_of "$id")"; done
    shims
}
init_of() { find /sys/fs/cgroup -path "*$1*/cgroup.procs" -exec cat {} + | sort -n | head -n 1; }
shims() { pgrep -f '^[^ ]*containerd-shim-peapod-v1 -namespace' | sort -n; }
lines() { wc -l <"$dir/logs/count.log"; }
# The counting container's log, without a hole.
whole() { awk '{ if ($4 != n++) exit 1 }' "$dir/logs/count.log"; }
grows() { local n; n=$(lines); until_ok "the log goes on" eval "[ \$(lines) -gt $((n + 3)) ]"; }
leavings() {
    shims | sed 's/^/shim /'
    ls /var/run/netns 2>/dev/null | sed 's/^/netns /'
    awk '$5 ~ "^/run/peapod/" { print "mount", $5 }' /proc/self/mountinfo
    find /sys/fs/cgroup -mindepth 2 -type d -path '*peapod*' ! -path '*/peapod.service*' | sed 's/^/cgroup /'
}

# PEAPOD'S UNIT: WHAT THE MANAGER DOES, THEN WHAT MUST HOLD
undisturbed() {         # WHAT same|other COMMAND...
    local what=$1 process=$2 pid before; shift 2
    pid=$(main) before=$(known)
    check "$what" "$@"
    until_ok "$what: the daemon answers" answers
    is "$what: active" active "$(systemctl is-active peapod)"
    case $process in
    same) is "$what: the same daemon" "$pid" "$(main)" ;;
    *) check "$what: another daemon" [ "$pid" != "$(main)" ] ;;
    esac
    is "$what: the same pods, processes, addresses" "$before" "$(known)"
    grows; check "$what: no line of the log is missing" whole
}
killed() {
    local old; old=$(main)
    systemctl kill -s KILL --kill-who=main peapod || return
    until_ok "systemd starts it again" eval "[ \$(main) != 0 ] && [ \$(main) != $old ] && systemctl is-active peapod"
}
stopped_and_started() {
    systemctl stop peapod || return
    [ "$(main)" = 0 ] || { echo "it has not ended"; return 1; }
    grows               # with no daemon at all
    systemctl start peapod
}
reloaded() {
    sed -i '/^level/d; /^\[log\]/d' /etc/peapod/config.toml
    printf '[log]\nlevel = "info,peapod_daemon=debug"\n' >>/etc/peapod/config.toml
    systemctl reload peapod || return
    until_ok "the new log level counts" eval "journalctl -b -u peapod --no-pager | grep -q 'configuration changed.*log.level'"
    until_ok "it is active again" systemctl is-active peapod
}
refused() {             # and the daemon goes on with what it has
    mkdir -p /etc/peapod/config.d
    printf '[log]\nlevel = "no-level=?"\n' >/etc/peapod/config.d/90-wrong.toml
    local reload=0; systemctl reload peapod 2>/dev/null || reload=$?
    rm /etc/peapod/config.d/90-wrong.toml
    [ $reload != 0 ] || { echo "a wrong configuration is no failure"; return 1; }
    until_ok "its mistakes are said" eval "journalctl -b -u peapod --no-pager | grep -q '90-wrong.toml:2: log.level'"
}
hung() {                # its watchdog is the only one who sees that
    local old; old=$(main)
    kill -STOP "$old"
    until_ok "the watchdog has it started again" eval "[ \$(main) != 0 ] && [ \$(main) != $old ]"
}

systemctl daemon-reload
if [ -n "${FULL:-}" ]; then
    mkdir -p /run/systemd/system/peapod.service.d
    printf '[Service]\nWatchdogSec=8\n' >/run/systemd/system/peapod.service.d/watchdog.conf; systemctl daemon-reload
fi
must "systemctl enable --now" systemctl enable --now peapod
check "the socket is there when it has started" answers >/dev/null
pid=$(main)
is "the daemon is not the one to be killed when memory is short" -999 "$(cat "/proc/$pid/oom_score_adj")"
is "it is in its own cgroup" "0::/system.slice/peapod.service" "$(cat "/proc/$pid/cgroup")"
is "it lives in the host's mount namespace" "$(readlink /proc/1/ns/mnt)" "$(readlink "/proc/$pid/ns/mnt")"

image=$PEAPOD_REGISTRY/peapod/shell:1
must "pull" crictl pull "$image"
running=
pod() {                 # NAME SCRIPT
    cat >"$dir/pod.json" <<J
{"metadata": {"name": "$1", "namespace": "default", "uid": "uid-$1", "attempt": 0}, "log_directory": "$dir/logs", "linux": {}}
J
    jq -n --arg name "$1" --arg image "$image" --arg script "$2" '{metadata: {name: $name}, image: {image: $image},
        log_path: ($name + ".log"), command: ["sh", "-c", $script], linux: {}}' >"$dir/container.json"
    must "crictl run $1" crictl run --no-pull "$dir/container.json" "$dir/pod.json"
    running+=" $output"
}
pod count 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done'
pod sleeper 'exec sleep 100000'
is "two shims" 2 "$(shims | wc -l)"
for shim in $(shims); do
    is "a shim is outside of the unit" "0::/peapod-shims" "$(cat "/proc/$shim/cgroup")"
done
is "the unit's cgroup has the daemon alone" "$pid" "$(cat /sys/fs/cgroup/system.slice/peapod.service/cgroup.procs)"
counter=${running# }; counter=${counter%% *}
is "a container may be killed when memory is short" 0 "$(cat "/proc/$(init_of "$counter")/oom_score_adj")"

undisturbed "systemctl restart" other systemctl restart peapod
undisturbed "kill -9" other killed
is "systemd counts one restart" 1 "$(systemctl show -P NRestarts peapod)"
undisturbed "stop and start" other stopped_and_started
undisturbed "reload" same reloaded
undisturbed "a reload with a wrong configuration" same refused
[ -z "${FULL:-}" ] || undisturbed "a daemon that hangs" other hung
is "a command in a container" "still here" "$(crictl exec -s "$counter" echo still here)"

must "remove both pods" crictl rmp -af
left=none; for try in $(seq 100); do left=$(leavings); [ -n "$left" ] || break; sleep 0.1; done
is "nothing is left" "" "$left"
must "systemctl disable --now" systemctl disable --now peapod
is "it ended well" "success" "$(systemctl show -P Result peapod)"
is "systemd found no process that was left in the unit" "" \
    "$(journalctl -b --no-pager -o cat _PID=1 | grep -E 'peapod.service: (Found left-over|Unit process)')"
finish
