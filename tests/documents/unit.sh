#!/bin/bash
# What systemd does with packaging/peapod.service, in a node that has no systemd; tests/vm/unit.sh has the real one.
#
#   unit start | stop | restart | reload | log
#
# The daemon is started again a second after its death, as the unit says; what it writes is in a file.
set -euo pipefail
log=/var/log/peapod.log pids=/run/unit; mkdir -p $pids
runs() { kill -0 "$(cat "$pids/$1" 2>/dev/null)" 2>/dev/null; }
supervise() {
    echo $$ >$pids/supervisor
    while :; do
        peapod serve >>$log 2>&1 </dev/null &
        echo $! >$pids/daemon
        wait $! || :
        sleep 1
    done
}
start() {
    if ! runs supervisor; then setsid "$0" supervise >/dev/null 2>&1 </dev/null & fi
    for _ in $(seq 100); do peapod ps >/dev/null 2>&1 && return; sleep 0.1; done
    tail -n 5 $log; exit 1
}
stop() {
    ! runs supervisor || kill -KILL "$(cat $pids/supervisor)"
    ! runs daemon || kill "$(cat $pids/daemon)"
    while runs daemon; do sleep 0.05; done
}

case ${1:-} in
start) start ;;
supervise) supervise ;;
stop) stop ;;
restart) stop; start ;;
reload) peapod serve --check-config && kill -HUP "$(cat $pids/daemon)" ;;
log) cat $log ;;
*) echo "unit: see the head of $0" >&2; exit 2 ;;
esac
