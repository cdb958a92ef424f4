#!/bin/bash
# Property tests of everything that reads what others wrote: all targets side by side (src/fuzz says how they work).
#
#   scripts/fuzz.sh [SECONDS]     for each target (default: 60)
#
# PEAPOD_FUZZ_SEED    where the random inputs begin (default: somewhere else each time; printed, to repeat a run)
# ONLY                words: targets whose test's name has one of them
#
# An input that fails is made small and written to a file that the failure names; src/CRATE/fuzz/TARGET/ keeps it for ever.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/env.sh"
cd "$root"
seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "scripts/fuzz.sh: $seconds are no seconds" >&2; exit 2; }
export PEAPOD_FUZZ_SECONDS=$seconds PEAPOD_FUZZ_SEED=${PEAPOD_FUZZ_SEED:-$((RANDOM << 15 | RANDOM))}
read -ra only <<<"${ONLY:-fuzz::}"
out=$target/fuzz; mkdir -p "$out"

cargo test --workspace --exclude peapod-tests --exclude peapod-fuzz --lib --bins --no-run
mapfile -t binaries < <(cargo test --workspace --exclude peapod-tests --exclude peapod-fuzz --lib --bins --no-run \
    --message-format=json 2>/dev/null | jq -r 'select(.reason == "compiler-artifact" and .profile.test) | .executable // empty')

echo "seed $PEAPOD_FUZZ_SEED, $seconds s for each target"
pids=() logs=()
for binary in "${binaries[@]}"; do
    mapfile -t tests < <("$binary" "${only[@]}" --list 2>/dev/null | sed -n 's/: test$//p' | grep 'fuzz::' || :)
    [ ${#tests[@]} -gt 0 ] || continue
    log=$out/$(basename "$binary").log
    "$binary" --exact --nocapture --test-threads="${#tests[@]}" "${tests[@]}" >"$log" 2>&1 &
    pids+=($!) logs+=("$log")
done
# Interrupted, nothing goes on behind the prompt.
trap 'kill "${pids[@]}" 2>/dev/null || :' EXIT
trap 'exit 130' INT; trap 'exit 143' TERM
[ ${#pids[@]} -gt 0 ] || { echo "scripts/fuzz.sh: no target has ${only[*]}" >&2; exit 2; }

failed=0
for number in "${!pids[@]}"; do
    if wait "${pids[$number]}"; then
        # A target's name may stand in two crates.
        crate=$(basename "${logs[$number]}"); crate=${crate%-*}
        sed -n "s/^.* inputs in /$crate: &/p" "${logs[$number]}"
    else
        failed=1; grep -v '^running\|^$' "${logs[$number]}"
    fi
done
exit $failed
