#!/bin/bash
# peapod in the virtual machine: cgroup v2 and systemd.
#
#   tests.sh smoke | full | critest | kubelet | unit | words WORD...
#
# Installs the built programs as `make install` does, then runs inside.sh in the machine, which says what is tested. Each mode is
# a machine of its own with a time limit of its own. Needs the programs, the integration tests' binary (PEAPOD_TESTS, where
# a mode runs them) and the registry's images, all made by scripts/test.sh before.
#
# DRIVERS    of cgroups (default: cgroupfs systemd)
# HANDLERS   for critest and kubelet (default: crun runc); FOCUS and UPDATE as for tests/critest/run.sh
# RUNTIMES   the OCI runtimes of `words` (default: crun runc)
# Logs, reports and the machine's journal are in target/vm/out/MODE afterwards.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
[ -d "$target/registry/data" ] || { echo "tests.sh: no images in $target/registry: scripts/test.sh build vm" >&2; exit 2; }
mode=${1:?what: see the head of $0}
out=$target/vm/out/$mode stage=$target/vm/stage-$mode; tools=$stage/usr/lib/peapod-tests
trap 'rm -rf "$stage"' EXIT

rm -rf "$stage" "$out"; mkdir -p "$tools" "$out"
make -s -C "$root" install-files DESTDIR="$stage" PREFIX=/usr PEAPOD_BIN="$PEAPOD_BIN" PEAPOD_SHIM="$PEAPOD_SHIM"
strip "$stage/usr/bin/peapod"           # line tables are of no use where a page of a file takes a millisecond
cp "$PEAPOD_RUNC" "$PEAPOD_GOTOOLS/crictl" "$PEAPOD_GOTOOLS/nriplugin" "$tools/"
cp -r "$PEAPOD_CNI" "$tools/cni"
cp -r "$target/registry" "$tools/registry"
go=() rust=''
case $mode in
smoke) limit=1500 rust=yes go=(critest kubelet) ;;
full) limit=3600 rust=yes ;;
critest) limit=3000 go=(critest) ;;
kubelet) limit=3000 go=(kubelet) ;;
unit) limit=1500 ;;
words) limit=1500 rust=yes ;;
*) echo "tests.sh: no mode $mode: see its head" >&2; exit 2 ;;
esac
if [ -n "$rust" ]; then
    [ -x "${PEAPOD_TESTS:-}" ] || { echo "tests.sh: PEAPOD_TESTS is not set: scripts/test.sh build vm" >&2; exit 2; }
    strip -o "$tools/integration" "$PEAPOD_TESTS"
fi
for program in "${go[@]}"; do cp "$PEAPOD_GOTOOLS/$program" "$tools/"; done

# Of the checkout nothing is written but lists, when asked for.
lists=(); [ -z "${UPDATE:-}" ] || lists=(--share "$root/tests/critest:rw")
"$here/vm.sh" --share "$root" --share "$target" --share "$out:rw" "${lists[@]}" --cwd "$root" --timeout "$limit" \
    --env "DRIVERS=${DRIVERS:-cgroupfs systemd}" --env "HANDLERS=${HANDLERS:-crun runc}" --env "RUNTIMES=${RUNTIMES:-crun runc}" \
    --env "FULL=${FULL:-}" --env "FOCUS=${FOCUS:-}" --env "UPDATE=${UPDATE:-}" \
    --env "CARGO_TARGET_DIR=$target" --env "STAGE=$stage" --env "OUT=$out" \
    --env "RUST_TEST_THREADS=${RUST_TEST_THREADS:-2}" --env "PEAPOD_TEST_SLOW=${PEAPOD_TEST_SLOW:-10}" \
    -- "$here/inside.sh" "$@"
