#!/bin/bash
# Builds the virtual machine's image: Debian with systemd as PID 1 and cgroup v2. vm.sh calls it; prints the image's folder.
#
# The image is built from Debian's packages alone, at most once: its folder (target/vm/image-KEY) is named after this
# script, guest/ and the packages. A minute and 350 MB. Needs root and what `scripts/install.sh test` installs.
#
# In the folder: vmlinuz, initrd (busybox and the drivers of the machine's own devices), root.img (ext4).
set -euo pipefail
umask 022
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"

packages=(
    systemd systemd-sysv dbus udev kmod procps iproute2 nftables ca-certificates busybox-static e2fsprogs
    crun criu iptables apparmor libseccomp2 docker-registry curl jq openssl zstd
    sudo python3                        # critest loads AppArmor profiles with sudo; report.py
)
# What the initrd loads; everything else is there with the root file system.
drivers=(virtio_pci virtio_blk virtio_console virtio_net virtiofs)

say() { echo "vm: $*" >&2; }
die() { say "$*"; exit 1; }

check() {
    local program
    [ "$(uname -m)" = x86_64 ] || die "the machine is built for x86-64 alone, this is $(uname -m)"
    [ "$(id -u)" = 0 ] || die "the image's files belong to root: sudo make test-vm"
    command -v apt-get >/dev/null || die "the image is made of Debian packages, and there is no apt-get here: run this on Debian 12"
    for program in qemu-system-x86_64 mmdebstrap mke2fs cpio depmod; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || die "$program is missing: scripts/install.sh test"
    done
}

# The kernel is unpacked, not installed: no boot loader, no tool that makes an initrd comes along.
fetch_kernel() {
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }')
    if [ -z "$package" ]; then
        apt-get -qq update >&2 || die "apt-get update failed"
        package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    fi
    [ -n "$package" ] || die "apt knows no linux-image-cloud-amd64: are Debian's sources there?"
    # A list of packages that is out of date names what is no longer there.
    (cd "$new" && { apt-get -qq -o APT::Sandbox::User=root download "$package" 2>/dev/null ||
        { apt-get -qq update >&2 && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2; }; }) ||
        die "$package could not be downloaded"
    dpkg-deb -x "$new/$package"_*.deb "$new/kernel"
    kernel=${package#linux-image-}
}

# The packages come from where this machine's apt has them, whatever the form of its sources.
make_root() {
    local list include
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
        sort -u >"$new/sources.list"
    [ -s "$new/sources.list" ] || die "apt has no sources of Debian: apt-get update"
    apt-config dump Acquire | grep -i '::proxy' >"$new/apt.conf" || :
    list=$(printf ',%s' "${packages[@]}"); include=${list#,}
    mmdebstrap --quiet --mode=root --variant=essential --format=directory --include="$include" \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --aptopt="$new/apt.conf" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io \
        "$(. /etc/os-release; echo "$VERSION_CODENAME")" "$new/root" "$new/sources.list" >"$new/log" 2>&1 ||
        { tail -n 30 "$new/log" >&2; die "mmdebstrap failed"; }
    cp -a "$new/kernel/lib/modules" "$new/root/usr/lib/"
    depmod -b "$new/root" "$kernel"
}

# Takes away what a boot under emulation would pay for (a process costs 0.1 s, probing all devices 5 s) and a test does
# not want, and puts in the service that runs the command.
settle() {
    local root=$1 units unit
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"       # else this is a "first boot"
    echo vm >"$root/etc/hostname"
    printf '127.0.0.1 localhost vm\n::1 localhost\n' >"$root/etc/hosts"
    : >"$root/etc/fstab"; : >"$root/etc/resolv.conf"
    units=$root/etc/systemd/system
    for unit in getty.target e2scrub_reap.service e2scrub_all.timer fstrim.timer dpkg-db-backup.timer nftables.service \
        docker-registry.service modprobe@.service sys-kernel-{debug,tracing,config}.mount systemd-logind.service \
        systemd-{pstore,random-seed,sysusers,remount-fs,modules-load,udev-trigger,hwdb-update}.service \
        systemd-{update-utmp,update-utmp-runlevel,journal-flush,user-sessions,binfmt,boot-system-token}.service \
        systemd-ask-password-{console,wall}.path proc-sys-fs-binfmt_misc.automount systemd-tmpfiles-clean.timer; do
        ln -sf /dev/null "$units/$unit"
    done
    mkdir -p "$root/etc/systemd/system-generators"
    for unit in "$root"/lib/systemd/system-generators/*; do
        ln -sf /dev/null "$root/etc/systemd/system-generators/${unit##*/}"
    done
    ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
    install -D -m 755 "$here/guest/job" "$root/usr/lib/peapod-vm/job"
    install -m 644 "$here/guest/job.service" "$units/job.service"
    mkdir -p "$units/multi-user.target.wants"; ln -s ../job.service "$units/multi-user.target.wants/"
}

# Not compressed: the guest would pay for it.
make_initrd() {
    local driver n=0 at=$new/initrd.d
    mkdir -p "$at"/{bin,drivers,dev,proc,sys,root}
    cp "$new/root/bin/busybox" "$at/bin/"
    # In the order of what they need of each other.
    for driver in "${drivers[@]}"; do modprobe -d "$new/root" -S "$kernel" --show-depends "$driver"; done |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r driver; do
            n=$((n + 1)); cp "$driver" "$at/drivers/$(printf %02d $n)-${driver##*/}"
        done
    install -m 755 "$here/guest/init" "$at/init"
    (cd "$at" && find . | cpio -o -H newc --quiet) >"$new/initrd"
}

build() {
    local start=$EPOCHREALTIME; new=$dir.new
    say "building the machine's image: about a minute, once"
    rm -rf --one-file-system "$target"/vm/image-*; mkdir -p "$new"
    fetch_kernel
    make_root
    settle "$new/root"
    make_initrd
    # mke2fs fills it: no loop device, no mount. Sparse.
    truncate -s 8G "$new/root.img"
    mke2fs -q -F -t ext4 -O ^has_journal -m 0 -E lazy_itable_init=1 -d "$new/root" "$new/root.img"
    mv "$new/kernel/boot/vmlinuz-$kernel" "$new/vmlinuz"
    rm -rf "$new"/{root,kernel,initrd.d,log,sources.list,apt.conf} "$new"/*.deb
    mv "$new" "$dir"
    say "$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "built in %.0f s", b - a }'): kernel $kernel, $(du -sh "$dir" | cut -f1)"
}

export PATH=$PATH:/usr/sbin:/sbin
check
key=$(cat "$here/image.sh" "$here"/guest/* | sha256sum | head -c 12)
dir=$target/vm/image-$key
mkdir -p "$target/vm"
exec 9>"$target/vm/lock"; flock 9           # several may want it at the same time
[ -f "$dir/root.img" ] || build
echo "$dir"
