# exec, attach, cp, port-forward and logs without a terminal, on $node.
pod_ready "streams-$node" "$node" "$idle" >/dev/null
pod_ready "talker-$node" "$node" 'while read -r line; do echo "heard $line"; done' 'stdin: true' >/dev/null
# A file of which every byte counts, in the folder that a web server shows.
k apply -f - >/dev/null <<Y
apiVersion: v1
kind: Pod
metadata: {name: files-$node}
spec:
  nodeSelector: {kubernetes.io/hostname: $node}
  terminationGracePeriodSeconds: 1
  volumes: [{name: site, emptyDir: {}}]
  initContainers:
    - name: fill
      image: peapod/shell:1
      command: [sh, -c, "head -c 100000000 /dev/urandom >/site/large; cd /site && sha256sum large >sums"]
      volumeMounts: [{name: site, mountPath: /site}]
  containers:
    - {name: main, image: peapod/web:1, volumeMounts: [{name: site, mountPath: /srv/www}]}
Y
head -c 20000000 /dev/urandom >"$dir/random"
sum=$(digest <"$dir/random")

check "exec" prints "hello" k exec "streams-$node" -- echo hello
check "exec by SPDY, as older clients do it" prints "hello" env KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false "$kubectl" exec "streams-$node" -- echo hello
check "its exit code" exits 7 k exec "streams-$node" -- sh -c 'exit 7'
check "its standard error is another stream" prints "err" bash -c "'$kubectl' exec streams-$node -- sh -c 'echo out; echo err >&2' 2>&1 >/dev/null"
large_input() { k exec -i "streams-$node" -- sha256sum <"$dir/random" | cut -d' ' -f 1; }
check "20 MB into it" prints "$sum" large_input
large_both_ways() { k exec -i "streams-$node" -- cat <"$dir/random" | digest; }
check "and through it" prints "$sum" large_both_ways
not_there() { local said; ! said=$(k exec "streams-$node" -- no-such-command 2>&1) && grep 'no-such-command.* not found' <<<"$said"; }
check "a command that is not there is told" not_there
check "a container that is not there" exits 1 k exec "streams-$node" -c nobody -- true

for time in first second; do        # without stdinOnce the standard input stays open after the first
    call attach "$kubectl" attach -i "talker-$node"
    say attach "$time"
    until_ok 20 "attach, the $time time" heard attach "heard $time"
    hang_up attach
done
check "the process has not noticed" pod_has "talker-$node" '.status.containerStatuses[0] | .restartCount == 0 and .state.running'
run_once() { echo over | k run "once-$node" --rm -i --quiet --restart=Never --image=peapod/shell:1 --command -- sh -c 'read -r line; echo "and $line"; exit 5'; }
check "run -i waits for the input, and for the exit code" exits 5 run_once

mkdir -p "$dir/folder/inner"; cp "$dir/random" "$dir/folder/inner/file"; ln -sf inner/file "$dir/folder/link"; echo small >"$dir/folder/small"
check "cp of a folder" k cp "$dir/folder" "streams-$node:/tmp/folder"
check "which arrives" prints "$sum" bash -c "'$kubectl' exec streams-$node -- sha256sum /tmp/folder/inner/file | cut -d' ' -f 1"
check "and back" k cp "streams-$node:/tmp/folder" "$dir/back-$node"
check "as it was" diff -r "$dir/folder/inner" "$dir/back-$node/inner"

check "files are served" k wait "pod/files-$node" --for=condition=Ready --timeout=60s
forward files "files-$node" 80
forwarded() { curl -fsS -m 60 "$@"; }
large=$(forwarded "http://127.0.0.1:$port/sums" | cut -d' ' -f 1)
large_file() { forwarded "http://127.0.0.1:$port/large" | digest; }
check "100 MB come through it" prints "$large" large_file
three_files() {
    local i pids=()
    for i in 1 2 3; do large_file >"$dir/sum.$i" & pids+=($!); done
    wait "${pids[@]}"; sort -u "$dir"/sum.?
}
check "and three times at the same time" prints "$large" three_files
hang_up files

pod "writer-$node" "$node" 'i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo "line $i"; [ $((i % 300)) != 0 ] || sleep 0.3; done; exit 4' >/dev/null
until_ok 30 "a pod begins to write" pod_has "writer-$node" '.status.containerStatuses[0] | .state.running or .state.terminated'
written() { k logs -f "writer-$node" | cmp - <(seq -f 'line %.0f' 3000); }
check "logs -f follows to its end, line by line" written
until_ok 30 "what was before is kept" k logs --previous "writer-$node" --tail=1
k delete pod "writer-$node" --wait=false >/dev/null
