#!/bin/bash
# The tests: all of them, or the parts that are named. Ends with "N passed, N failed".
#
#   scripts/test.sh [PART...]      build lint deny unit house integration crictl critest kubelet cluster bench load
#                                  vm vm-full vm-critest vm-kubelet
#
# ONLY       words: integration tests whose names have one of them, here or in the virtual machine
# DRIVERS    of cgroups in the virtual machine (default: cgroupfs systemd)
# CHECKS     of the cluster (default: all of tests/cluster/checks)
# HANDLERS   for critest, and for vm-kubelet (default: crun runc); FOCUS a regular expression of spec names
# NODE       name of the node (default: peatest)
#
# Everything that makes pods runs in a node of its own (tests/node.sh), which is gone afterwards.
set -uo pipefail
. "$(dirname "$(readlink -f "$0")")/env.sh"
cd "$root" || exit
export NODE=${NODE:-peatest}
node=tests/node.sh
out=$target/test; mkdir -p "$out"
passed=0 failed=0 broken=()

# step NAME CMD...: its output goes to the screen and to target/test/NAME.log. Counts tests if the output has
# counts ("test result: ok. 3 passed; 1 failed" or "counted 3 passed, 1 failed"), else itself as one, unless it only prepares.
step() {
    local name=$1 code p f; shift
    echo "=== $name"
    "$@" 2>&1 | tee "$out/$name.log"; code=${PIPESTATUS[0]}
    # Some tests run themselves again, alone and in a namespace: those runs filter, and are not counted twice.
    read -r p f < <(awk -v own="$name" '
        /^test result:/ && (own != "unit" || / 0 filtered out/) { p += $4; f += $6 }
        /^counted [0-9]+ passed, [0-9]+ failed/ { p += $2; f += $4 }
        END { print p + 0, f + 0 }' "$out/$name.log")
    if [ "$p" = 0 ] && [ "$f" = 0 ]; then case $name:$code in build*|images*|vm-image:0) ;; *:0) p=1 ;; esac; fi
    if [ "$code" != 0 ] && [ "$f" = 0 ]; then f=1; fi       # it did not even come to count
    passed=$((passed + p)) failed=$((failed + f))
    [ "$code" = 0 ] || broken+=("$name")
    return "$code"
}

# failures NAME: the lines of its output that say what failed, again: who sees the end of a long output alone can tell.
failures() {
    local lines
    lines=$(grep -aE '^(FAIL|BROKEN|not ok|error|panicked)|^test .* FAILED$|^ +\[FAIL\]|panicked at' "$out/$1.log" | head -n 20)
    echo "--- $1: what failed"
    if [ -n "$lines" ]; then echo "$lines"; else tail -n 20 "$out/$1.log"; fi
}

shim_is_static() {
    readelf -h "$PEAPOD_SHIM" | grep -q 'Type: *EXEC' || { echo "$PEAPOD_SHIM is position independent" >&2; return 1; }
    ! readelf -l "$PEAPOD_SHIM" | grep -q INTERP || { echo "$PEAPOD_SHIM needs a dynamic loader" >&2; return 1; }
}
build_all() { cargo build --package peapod && cargo build-shim && shim_is_static; }
build_tools() { tests/tools/build.sh cri runc kubelet kubeadm cni nri && tests/old-shim.sh; }
# Not the advisories: their list has to be fetched, and a test's outcome may not depend on the day.
deny() { cargo fetch --locked && cargo deny --offline check licenses bans sources; }
lint() { cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings; }

# Tests are built outside and run in the node: it has no network.
cargo_tests() {
    cargo test --no-run "$@" && "$node" run cargo test --offline --no-fail-fast "$@"
}
images() { tests/images/build.sh prepare && "$node" run tests/registry.sh start && "$node" run tests/images/build.sh push demo tests critest >"$out/images.log"; }

# Those that need root are ignored where `cargo test` runs alone; in the node all run.
unit() { cargo_tests --workspace --exclude peapod-tests -- --include-ignored; }
house() { cargo test --package peapod-tests --lib --test house; }
# containerd's default seccomp profile, with which peapod's own is compared, is still the one of the pinned containerd.
seccomp() { (cd tests/tools && GOFLAGS="-mod=readonly" GOTOOLCHAIN=local go run ./seccompdump) | diff "$root/src/spec/golden/containerd-seccomp.json" -; }
integration_binary() {
    cargo test --package peapod-tests --test integration --no-run || return
    binary=$(cargo test --package peapod-tests --test integration --no-run --message-format=json 2>/dev/null |
        jq -r 'select(.reason == "compiler-artifact" and .target.name == "integration") | .executable // empty' | tail -n 1)
}
integration() {
    local binary only=(); read -ra only <<<"${ONLY:-}"
    integration_binary || return
    "$node" run env RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}" "$binary" "${only[@]}"
}

# In the virtual machine: a few tests, or all that make sense there; with ONLY those that have its words.
in_vm() {               # smoke | full
    local binary only=(); read -ra only <<<"${ONLY:-}"
    integration_binary || return
    [ ${#only[@]} = 0 ] || set -- words "${only[@]}"
    PEAPOD_TESTS=$binary tests/vm/tests.sh "$@"
}

# A handful of pods, to see that the bench works; what it measures in a debug build means nothing.
bench() {
    mkdir -p "$target/bench"
    cargo build --package peapod-tests --bin peapod-bench &&
        "$node" run "$target/debug/peapod-bench" --smoke --sides peapod --report "$target/bench/smoke.json"
}

# Load at full size, for a shorter time than `make soak` and without judging what depends on the machine's speed.
load() {
    cargo build --package peapod-tests --bin peapod-soak &&
        "$node" run "$target/debug/peapod-soak" --seconds 20 --warm-up 8 --execs 2000
}

up=
ensure_node() {
    [ -z "$up" ] || return 0
    trap '"$node" down' EXIT
    trap 'exit 130' INT; trap 'exit 143' TERM
    "$node" down; "$node" up && up=yes
}

main() {
    local parts part h d
    parts=("$@"); [ $# -gt 0 ] || parts=(build lint house unit integration crictl critest kubelet cluster bench load vm)
    for part in "${parts[@]}"; do
        case $part in
        build) step build build_all && step build-tools build_tools || break ;;     # nothing else would mean anything
        lint) step lint lint
            if command -v cargo-deny >/dev/null; then step deny deny; else echo "cargo-deny is not installed (make deny does it): licences are not checked"; fi ;;
        deny) step deny deny ;;
        house) step house house; step seccomp seccomp ;;
        unit) ensure_node && step unit unit ;;
        integration | crictl | critest | kubelet | cluster | bench | load | vm | vm-full | vm-critest | vm-kubelet)
            ensure_node && { [ -n "${pushed:-}" ] || step images images || break; } && pushed=yes
            case $part in
            integration) step integration integration ;;
            crictl) for h in crun runc; do HANDLER=$h step "crictl-$h" "$node" run tests/with-peapod.sh tests/crictl.sh; done ;;
            critest) for h in ${HANDLERS:-crun runc}; do
                HANDLER=$h step "critest-$h" "$node" run tests/critest/run.sh
                [ -n "${FOCUS:-}" ] || WEBSOCKET=1 HANDLER=$h step "critest-websocket-$h" "$node" run tests/critest/run.sh
            done ;;
            kubelet)
                step kubelet "$node" run tests/with-peapod.sh tests/kubelet/run.sh
                # As kubelets will be one day: what happens comes as events, lists in pages.
                PEAPOD_LOG=$target/peapod-gates.log PEAPOD_CONFIG=$'[log]\nlevel = "debug"' \
                    KUBELET_GATES="EventedPLEG CRIListStreaming" \
                    step kubelet-gates "$node" run tests/with-peapod.sh tests/kubelet/run.sh ;;
            cluster) step build-cluster tests/tools/build.sh cluster && step cluster "$node" run tests/cluster/run.sh ;;
            bench) step bench bench ;;
            load) step load load ;;
            vm) step vm-image tests/vm/image.sh && step vm in_vm smoke ;;
            vm-full) step vm-image tests/vm/image.sh || break
                # Each in a machine of its own, with its own limit of time.
                for d in ${DRIVERS:-cgroupfs systemd}; do DRIVERS=$d step "vm-full-$d" in_vm full; done ;;
            vm-critest | vm-kubelet) step vm-image tests/vm/image.sh && step "$part" tests/vm/tests.sh "${part#vm-}" ;;
            esac ;;
        *) echo "no part $part: build lint deny house unit integration crictl critest kubelet cluster bench load vm vm-full vm-critest vm-kubelet" >&2; exit 2 ;;
        esac
    done
    echo
    for part in ${broken[@]+"${broken[@]}"}; do failures "$part"; done
    [ ${#broken[@]} = 0 ] || echo "not green: ${broken[*]} (logs in ${out#"$root"/})"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
# Read whole before it runs: somebody may edit it meanwhile.
main "$@"; exit
