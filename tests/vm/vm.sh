#!/bin/bash
# Runs a command in a throw-away virtual machine: Debian, systemd as PID 1, cgroup v2. What the command writes, and its exit
# code, are this script's. The image is built when it is not there (image.sh); nothing is ever written to it.
#
#   vm.sh [OPTION]... -- COMMAND [ARG...]        as root
#
#   --share DIR[:rw]  the folder, at the same path in the guest; read-only unless :rw
#   --env NAME=VALUE  --cwd DIR                  for the command
#   --timeout S       hard limit, boot included; default 600, then code 124
#   --memory MB       default 2048
#   --console         the console on stderr, also when all went well
#
# Code 125: the machine ended without a result. KVM is not asked for: QEMU emulates the processor, so that this works inside
# other virtual machines. Boot takes 10 to 15 s, system calls and processes are 5 to 25 times as slow as outside: time limits
# of tests want a factor (PEAPOD_TEST_SLOW), and one boot many tests.
#
# * The cloud kernel has no 9p. virtiofs wants shared memory behind the guest's RAM, and a virtiofsd for each folder.
# * The command runs in /system.slice/job.service, with no stdin and no terminal.
# * Killed with -9, this script takes QEMU along (pdeathsig); its folder goes with the next run.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
export PATH=$PATH:/usr/sbin:/sbin
say() { echo "vm: $*" >&2; }

limit=600 memory=2048 cwd=/ console='' shares=() env=()
while [ $# -gt 0 ]; do
    case $1 in
    --share) shares+=("$2"); shift 2 ;;
    --env) env+=("$2"); shift 2 ;;
    --cwd) cwd=$2; shift 2 ;;
    --timeout) limit=$2; shift 2 ;;
    --memory) memory=$2; shift 2 ;;
    --console) console=1; shift ;;
    --) shift; break ;;
    *) say "no option $1: see the head of $0"; exit 2 ;;
    esac
done
[ $# -gt 0 ] || { say "run what?"; exit 2; }
image=$("$here/image.sh")
virtiofsd=$(PATH=$PATH:/usr/lib/qemu:/usr/libexec command -v virtiofsd) || { say "virtiofsd is missing: scripts/install.sh test"; exit 1; }

for old in "$target"/vm/run.*; do       # what killed runs left
    pid=${old#"$target"/vm/run.}
    [ ! -d "$old" ] || kill -0 "${pid%%.*}" 2>/dev/null || rm -rf "$old"
done
run=$(mktemp -d "$target/vm/run.$$.XXXXXX") machine='' readers=() servers=()
finish() {
    trap - EXIT; trap '' INT TERM HUP
    [ -z "$machine" ] || { kill "$machine" 2>/dev/null && wait "$machine"; } || :
    kill "${readers[@]}" "${servers[@]}" 2>/dev/null || :
    wait
    cd /; rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT; trap 'exit 143' TERM; trap 'exit 129' HUP

mkdir "$run/job"; folders=()
{
    for share in "${shares[@]}"; do
        mode=ro; case $share in *:rw) mode=rw share=${share%:rw} ;; esac
        [ -d "$share" ] || { say "$share: only a folder can be shared"; exit 2; }
        folders+=("$(readlink -f "$share")")
        printf 'share s%d %q %s || exit 125\n' $((${#folders[@]} - 1)) "${folders[-1]}" $mode
    done
    [ ${#env[@]} = 0 ] || printf 'export %q\n' "${env[@]}"
    printf 'cd %q || exit 125\nexec' "$cwd"; printf ' %q' "$@"; echo
} >"$run/job/command"
tar -C "$run/job" -cf "$run/job.tar" command
cd "$run"                               # names of sockets have to be short
mkfifo out err
cat out & readers+=($!)
cat err >&2 & readers+=($!)

tied=(setpriv --pdeathsig KILL)         # whatever ends this script ends the machine
devices=()
# virtiofsd locks a file that is named after the socket, wherever that is: two machines need two names.
for i in "${!folders[@]}"; do
    socket=s$i.$$
    "${tied[@]}" "$virtiofsd" --socket-path="$socket" -o source="${folders[i]}" -o cache=auto -o xattr </dev/null >"s$i.log" 2>&1 &
    servers+=($!)
    devices+=(-chardev "socket,id=s$i,path=$socket" -device "vhost-user-fs-pci,chardev=s$i,tag=s$i,queue-size=1024")
done
for i in "${!folders[@]}"; do
    for try in $(seq 200); do [ ! -S "s$i.$$" ] || break; sleep 0.05; done
    [ -S "s$i.$$" ] || { say "virtiofsd for ${folders[i]} did not start:"; cat "s$i.log" >&2; exit 125; }
done
for name in out err code; do
    devices+=(-chardev "file,id=$name,path=$name" -device "virtserialport,chardev=$name,name=$name")
done
# The kernel's options are there for speed (nothing can be measured here); la57 costs a level of page tables.
TMPDIR=$run "${tied[@]}" timeout -k 5 "$limit" "${tied[@]}" qemu-system-x86_64 \
    -accel tcg,thread=multi,tb-size=512 -machine q35,memory-backend=ram -cpu max,la57=off -smp 2 -m "$memory" \
    -object memory-backend-memfd,id=ram,size="${memory}M",share=on \
    -nodefaults -no-user-config -display none -no-reboot -monitor none -kernel "$image/vmlinuz" -initrd "$image/initrd" \
    -append "console=ttyS0 quiet loglevel=4 panic=-1 psi=1 mitigations=off init_on_alloc=0 nokaslr nowatchdog tsc=reliable cryptomgr.notests=1 rcupdate.rcu_expedited=1 net.ifnames=0 systemd.show_status=no" \
    -serial file:console.log \
    -drive file="$image/root.img",format=raw,if=virtio,snapshot=on,cache=unsafe \
    -drive file=job.tar,format=raw,if=virtio,readonly=on \
    -device virtio-serial-pci "${devices[@]}" \
    -nic user,restrict=on,model=virtio-net-pci,mac=52:54:00:00:00:01 </dev/null >qemu.log 2>&1 &
machine=$!
ended=0; wait "$machine" || ended=$?
machine=
: <>out; : <>err                        # lets a reader go that QEMU never met
wait "${readers[@]}" || :
[ -z "$console" ] || cat console.log >&2
if [ -s code ]; then exit "$(sed 's/^code //' code)"; fi
case $ended in
124 | 137) say "the time limit of $limit s is over"; code=124 ;;
*) say "the machine ended (QEMU: $ended) without a result"; tail -n 20 qemu.log >&2; code=125 ;;
esac
[ -n "$console" ] || tail -n 20 console.log >&2
exit $code
