#!/bin/bash
# The conformance suite on a private peapod, inside a node.
#
#   HANDLER=crun|runc  tests/node.sh with tests/critest/run.sh
#   FOCUS='regular expression of spec names'   SPECS=N: so many of these have to pass
#   UPDATE=1: adds newly passing specs to the list
#   WEBSOCKET=1: the streaming specs alone, over WebSockets in place of SPDY
#
# Writes target/critest/$HANDLER/{junit.xml,critest.log,peapod.log}. pass.$HANDLER.list names the specs that have passed once
# (pass.websocket.list those over WebSockets): one of them that does not pass now is a failure; what fails and is not in it
# waits for its issue. MORE=x: so does pass.x.list, of a machine where more can pass; that one then is what UPDATE adds to.
#
# One patch to critest, and the only one: it names one image by a digest that nobody but its author can produce. In a copy
# of the binary that digest is replaced by that of our image of the same name.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
handler=${HANDLER:-crun}
focus=${FOCUS:-} out=$PEAPOD_OUT/critest/$handler partial=() flags=()
lists=("$here/pass.$handler.list" ${MORE:+"$here/pass.$MORE.list"})
[ -z "$focus" ] || partial=(--partial --at-least "${SPECS:-0}")
if [ -n "${WEBSOCKET:-}" ]; then
    focus='Streaming runtime' lists=("$here/pass.websocket.list") out=$out-websocket partial=()
    flags=(-websocket-exec -websocket-attach -websocket-portforward)
fi
mkdir -p "$out"
work=$(mktemp -d "$NODE_DIR/critest-XXXXXX"); trap 'rm -rf "$work"' EXIT

theirs=9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf
ours=$(jq -r '."k8s-staging-cri-tools/test-image-digest:test"' "$target/images/digests.json"); ours=${ours#sha256:}
[ ${#ours} = 64 ] || { echo "no digest of our test-image-digest: is the image set \`critest\` pushed?" >&2; exit 1; }
[ "$(LC_ALL=C grep -c "$theirs" "$PEAPOD_GOTOOLS/critest")" != 0 ] || { echo "critest does not name $theirs any more" >&2; exit 1; }
LC_ALL=C sed "s/$theirs/$ours/g" "$PEAPOD_GOTOOLS/critest" >"$work/critest"; chmod +x "$work/critest"
echo "critest with one patch: the digest of test-image-digest is that of our image"

export PEAPOD_LOG=$out/peapod.log HANDLER=$handler TMPDIR=$work
rm -f "$out/junit.xml"
cd "$work"
code=0
# critest answers 1 when any spec fails; the list decides. 99 means that pods left something behind.
"$here/../with-peapod.sh" bash -c '"$0" -runtime-endpoint "$CONTAINER_RUNTIME_ENDPOINT" -nri-socket "$PEAPOD_DIR/run/nri.sock" "$@"' "$work/critest" \
    -ginkgo.junit-report "$out/junit.xml" -ginkgo.no-color -ginkgo.focus "$focus" "${flags[@]}" >"$out/critest.log" 2>&1 || code=$?
if [ ! -e "$out/junit.xml" ]; then tail -n 40 "$out/critest.log" >&2; echo "critest wrote no report" >&2; exit 1; fi
leak=(); [ $code != 99 ] || { sed -n '/^left behind:/,$p' "$out/critest.log" | head -n 20; leak=(--also-failed 1); }
/usr/bin/python3 -B "$here/report.py" "$out/junit.xml" "${lists[@]}" ${UPDATE:+--update} "${partial[@]}" "${leak[@]}"
