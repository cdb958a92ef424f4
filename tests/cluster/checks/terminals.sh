# exec, attach and debug on a terminal, on $node: sizes, keys, exit codes.
terminal() { /usr/bin/python3 -B "$here/terminal.py" "$@"; }
pod_ready "terminals-$node" "$node" "$idle" >/dev/null
script='while read -r line; do echo "heard $line"; [ "$line" != size ] || stty size; [ "$line" != quit ] || exit 0; done'
pod_ready "screen-$node" "$node" "$script" 'stdin: true, tty: true' >/dev/null

check "exec -it is on a terminal of the size that the client's has" exits 0 \
    terminal 30x100 'expect:[#$] ' 'send:tty && stty size' 'expect:/dev/pts/0' 'expect:30 100' 'send:exit' -- "$kubectl" exec -it "terminals-$node" -- sh
check "which follows it" exits 0 \
    terminal 30x100 'expect:[#$] ' 'size:50x132' 'again:stty size~50 132' 'send:exit' -- "$kubectl" exec -it "terminals-$node" -- sh
check "its exit code" exits 9 terminal 24x80 'expect:[#$] ' 'send:exit 9' -- "$kubectl" exec -it "terminals-$node" -- sh
check "Ctrl-C ends what runs, not the shell" exits 6 \
    terminal 24x80 'expect:[#$] ' 'send:echo $((1 + 1)) && sleep 1000' 'expect:\n2' 'key:03' 'again:echo $((3 + 4))~\n7' 'send:exit 6' \
    -- "$kubectl" exec -it "terminals-$node" -- sh
check "exec -it by SPDY" exits 8 env KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false \
    /usr/bin/python3 -B "$here/terminal.py" 31x101 'expect:[#$] ' 'send:stty size' 'expect:31 101' 'send:exit 8' -- "$kubectl" exec -it "terminals-$node" -- sh
check "attach -it hears what is typed, of the size of its client's" exits 0 \
    terminal 33x103 'again:one~heard one' 'again:size~33 103' 'size:44x144' 'again:size~44 144' 'send:quit' -- "$kubectl" attach -it "screen-$node"
until_ok 30 "and has it end" pod_has "screen-$node" '.status.containerStatuses[0] | .restartCount == 1 and .lastState.terminated.exitCode == 0'
check "run -it" exits 11 \
    terminal 24x80 'expect:[#$] ' 'send:exit 11' -- "$kubectl" run "typed-$node" -it --rm --quiet --restart=Never --image=peapod/shell:1 --command -- sh
