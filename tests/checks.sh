# Sourced: checks that are counted. `hopeless` may be defined: it says why waiting makes no sense any more, and is false if
# it does.
passed=0 failed=0
ok() { passed=$((passed + 1)); echo "ok      $1 (after $((SECONDS)) s)"; }
bad() {                 # WHAT [OUTPUT]: the end of what was said about it
    failed=$((failed + 1)); echo "FAILED  $1"
    [ -z "${2:-}" ] || tail -n 8 <<<"$2" | sed 's/^/        /'
}
hopeless() { false; }
check() {               # WHAT CMD...
    local what=$1 said; shift
    if said=$("$@" 2>&1); then ok "$what"; else bad "$what" "$said"; return 1; fi
}
until_ok() {            # SECONDS WHAT CMD...: so many times longer on a machine that is PEAPOD_TEST_SLOW times slower
    local limit=$((SECONDS + $1 * ${PEAPOD_TEST_SLOW:-1})) what=$2 said why; shift 2
    until said=$("$@" 2>&1); do
        ! why=$(hopeless) || { bad "$what: $why" "$said"; return 1; }
        [ $SECONDS -lt $limit ] || { bad "$what" "$said"; return 1; }
        sleep 0.1
    done
    ok "$what"
}
# As the last command: how many there were, for scripts/test.sh.
counted() { echo "counted $passed passed, $failed failed"; [ $failed = 0 ]; }
