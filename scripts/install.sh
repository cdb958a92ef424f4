#!/bin/bash
# Installs what is missing on a Debian machine, and nothing else. Rust and Go are only checked: Debian's are too old.
#
#   scripts/install.sh demo     to build peapod and run the demo (with DEMO_PUBLIC=1 also what that one needs)
#   scripts/install.sh test     to run the tests as well (Go for the kubelet, a control plane, critest, crictl, runc;
#                               QEMU for a machine with systemd and cgroup v2)
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
what=${1:-demo}

# command (or file): package
demo=(
    "gcc:gcc libc6-dev" "make:make" "objdump:binutils" "python3:python3" "unshare:util-linux" "pgrep:procps" "ip:iproute2"
    "curl:curl" "docker-registry:docker-registry" "crun:crun"
)
[ -z "${DEMO_PUBLIC:-}" ] || demo+=("slirp4netns:slirp4netns")
tests=(
    "nft:nftables" "jq:jq" "openssl:openssl" "zstd:zstd" "pkg-config:pkg-config" "mount:mount"
    "systemd-analyze:systemd" "script:bsdutils"
    # A runtime with a sandbox of its own.
    "runsc:runsc"
    "/usr/include/seccomp.h:libseccomp-dev"
    # The virtual machine (virtiofsd comes with qemu-system-x86).
    "qemu-system-x86_64:qemu-system-x86" "mmdebstrap:mmdebstrap" "mke2fs:e2fsprogs" "cpio:cpio" "depmod:kmod"
)
case $what in
demo) wanted=("${demo[@]}") ;;
test) wanted=("${demo[@]}" "${tests[@]}") ;;
*) echo "scripts/install.sh: demo or test" >&2; exit 2 ;;
esac

missing=() more=()
for entry in "${wanted[@]}"; do
    thing=${entry%%:*}
    # Root's own PATH may lack the sbin folders.
    PATH=$PATH:/usr/sbin:/sbin command -v "$thing" >/dev/null || [ -e "$thing" ] || read -ra more <<<"${entry#*:}"
    missing+=("${more[@]}"); more=()
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    [ "$(id -u)" = 0 ] || { echo "this needs root: sudo apt-get install ${missing[*]}" >&2; exit 1; }
    # The packages only: no service may start here because a test wants its binary.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy
        trap 'rm -f $policy' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
fi

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }
check() {               # NAME FOUND WANTED WAY-OUT
    if [ -z "$2" ]; then echo "$1 is missing: $4" >&2; exit 1; fi
    at_least "$3" "$2" || { echo "$1 $2 is too old, $3 is needed: $4" >&2; exit 1; }
}
rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
check cargo "$(cargo --version 2>/dev/null | awk '{ print $2 }')" "$rust" "install Rust $rust or newer with rustup (https://rustup.rs)"
if [ "$what" = test ]; then
    go=$(sed -n 's/^go //p' tests/tools/go.mod)
    check go "$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//')" "$go" "install Go $go or newer (https://go.dev/dl)"
fi
