#!/bin/bash
# A local image registry (Debian's docker-registry). Start it inside the node that pulls from it.
#
#   registry.sh start | stop | status
#
# REGISTRY_ADDRESS  default 127.0.0.1
# REGISTRY_PORT     default 5000
# REGISTRY_DIR      what it stores (default: target/registry of this checkout)
# REGISTRY_USER     with REGISTRY_PASSWORD: ask for this user (basic authentication)
# REGISTRY_CERT     with REGISTRY_KEY: serve https with this certificate
set -euo pipefail
address=${REGISTRY_ADDRESS:-127.0.0.1}
port=${REGISTRY_PORT:-5000}
dir=${REGISTRY_DIR:-$(dirname "$(dirname "$(readlink -f "$0")")")/target/registry}
run=/run/peapod-registry-$port        # a node has a /run of its own, so two nodes never share a pid
pidfile=$run/pid
scheme=http; [ -z "${REGISTRY_CERT:-}" ] || scheme=https

# 401 counts: it answers.
answers() { curl -sk -m 2 -o /dev/null "$scheme://$address:$port/v2/"; }
ours() { [ -s "$pidfile" ] && [ "$(cat "/proc/$(cat "$pidfile")/comm" 2>/dev/null)" = docker-registry ]; }

start() {
    if ours && answers; then return; fi
    ! answers || { echo "registry.sh: port $port is taken by another server: set REGISTRY_PORT" >&2; exit 1; }
    mkdir -p "$dir/data" "$run"
    {
        echo 'version: 0.1'
        echo 'log: {level: warn, accesslog: {disabled: true}}'
        echo "storage: {cache: {blobdescriptor: inmemory}, filesystem: {rootdirectory: $dir/data}, delete: {enabled: true}}"
        echo "http: {addr: \"$address:$port\"${REGISTRY_CERT:+, tls: {certificate: $REGISTRY_CERT, key: ${REGISTRY_KEY:-}\}}}"
        if [ -n "${REGISTRY_USER:-}" ]; then
            # openssl writes no bcrypt, the only kind that the registry takes; python's crypt does.
            /usr/bin/python3 -W ignore -c 'import crypt, sys; print(sys.argv[1] + ":" + crypt.crypt(sys.argv[2], crypt.mksalt(crypt.METHOD_BLOWFISH)))' \
                "$REGISTRY_USER" "$REGISTRY_PASSWORD" >"$run/htpasswd"
            echo "auth: {htpasswd: {realm: peapod tests, path: $run/htpasswd}}"
        fi
    } >"$run/config.yml"
    setsid docker-registry serve "$run/config.yml" >"$run/log" 2>&1 </dev/null &
    echo $! >"$pidfile"
    for _ in $(seq 200); do
        answers && return
        kill -0 "$(cat "$pidfile")" 2>/dev/null || break
        sleep 0.05
    done
    echo "registry.sh: did not come up on port $port:" >&2; cat "$run/log" >&2; rm -f "$pidfile"; exit 1
}

case ${1:-start} in
start) start ;;
stop) if ours; then kill "$(cat "$pidfile")"; fi; rm -rf "$run" ;;
status) if answers; then echo up; else echo down; exit 1; fi ;;
*) echo "registry.sh: start, stop or status" >&2; exit 2 ;;
esac
