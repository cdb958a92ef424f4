#!/bin/bash
# peapod in the virtual machine: cgroup v2 and systemd. tests.sh smoke | full | unit | words WORD...
#
# Installs the built programs as `make install` does, then runs inside.sh in the machine, which says what is tested. Needs
# the programs, the integration tests' binary (PEAPOD_TESTS) and the registry's images, all made by scripts/test.sh before.
#
# DRIVERS    of cgroups (default: cgroupfs systemd)
# RUNTIMES   the OCI runtimes of `words` (default: crun runc)
# The daemon's log and the machine's journal are in target/vm/out afterwards.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
[ -x "${PEAPOD_TESTS:-}" ] || { echo "tests.sh: PEAPOD_TESTS is not set: scripts/test.sh build vm" >&2; exit 2; }
[ -d "$target/registry/data" ] || { echo "tests.sh: no images in $target/registry: scripts/test.sh build vm" >&2; exit 2; }
stage=$target/vm/stage out=$target/vm/out

rm -rf "$stage" "$out"; mkdir -p "$stage/usr/lib/peapod-tests" "$out"
make -s -C "$root" install-files DESTDIR="$stage" PREFIX=/usr PEAPOD_BIN="$PEAPOD_BIN" PEAPOD_SHIM="$PEAPOD_SHIM"
strip "$stage/usr/bin/peapod"           # line tables are of no use where a page of a file takes a millisecond
strip -o "$stage/usr/lib/peapod-tests/integration" "$PEAPOD_TESTS"
cp "$PEAPOD_RUNC" "$PEAPOD_GOTOOLS/crictl" "$stage/usr/lib/peapod-tests/"
cp -r "$PEAPOD_CNI" "$stage/usr/lib/peapod-tests/cni"
cp -r "$target/registry" "$stage/usr/lib/peapod-tests/registry"

case $1 in full) limit=3600 ;; *) limit=1500 ;; esac
"$here/vm.sh" --share "$root" --share "$target" --share "$out:rw" --cwd "$root" --timeout "$limit" \
    --env "FULL=${FULL:-}" --env "DRIVERS=${DRIVERS:-cgroupfs systemd}" --env "RUNTIMES=${RUNTIMES:-crun runc}" --env "CARGO_TARGET_DIR=$target" --env "OUT=$out" \
    --env "RUST_TEST_THREADS=${RUST_TEST_THREADS:-2}" --env "PEAPOD_TEST_SLOW=${PEAPOD_TEST_SLOW:-10}" \
    -- "$here/inside.sh" "$@"
