#!/bin/bash
# Builds the oldest shim that this peapod drives, from the repository's own history, and prints where it is. Once: later calls
# find it. tests/integration/upgrade.rs has pods with it.
#
# The commit is the first whose shim can be driven through a pod's whole life. It speaks protocol 1 (src/shim-protocol/src/lib.rs).
# When OLDEST_SHIM there rises, take the first commit that speaks the new number.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/../scripts/env.sh"
commit=127967338ce7196fae1463fa4e372bdacb40c68a

[ ! -x "$PEAPOD_OLD_SHIM" ] || [ "$(cat "$PEAPOD_OLD_SHIM.commit" 2>/dev/null)" != $commit ] || { echo "$PEAPOD_OLD_SHIM"; exit; }
git -C "$root" cat-file -e "$commit^{commit}" 2>/dev/null || {
    echo "tests/old-shim.sh: commit $commit is not here, and the test of an older shim needs it:" >&2
    echo "  git fetch --unshallow   (or a clone with its history; or PEAPOD_OLD_SHIM=/path/to/an/older/containerd-shim-peapod-v1)" >&2
    exit 1
}
mkdir -p "$(dirname "$PEAPOD_OLD_SHIM")"
# Not in this checkout: cargo would add up both settings.
place=$(mktemp -d)
build=$(dirname "$PEAPOD_OLD_SHIM")/build
trap 'rm -rf "$place" "$build"' EXIT
rm -rf "$build"; mkdir "$build"
# Compiled dependencies are those of today's shim, where the versions are the same. Of our own crates nothing may be taken over.
if [ -d "$target/shim" ]; then
    cp -al "$target/shim" "$build/shim"
    rm -rf "$build"/shim/.fingerprint/peapod-* "$build"/shim/build/peapod-* "$build"/shim/deps/*peapod* "$build"/shim/incremental
fi
git -C "$root" archive "$commit" .cargo Cargo.toml Cargo.lock src proto tests | tar -x -C "$place"
(cd "$place" && CARGO_TARGET_DIR=$build cargo build-shim)
mv "$build/shim/containerd-shim-peapod-v1" "$PEAPOD_OLD_SHIM"
echo $commit >"$PEAPOD_OLD_SHIM.commit"
echo "$PEAPOD_OLD_SHIM"
