#!/bin/bash
# Fixture images, made from Debian's binary packages, small C programs and a script.
#
#   build.sh prepare           downloads the packages and lays out the inputs (needs the packages' network, root)
#   build.sh push SET...       makes the images of `demo`, `tests`, `critest` and pushes them (needs the registry only)
#
# IMAGES_DIR  the inputs and digests.json (default: target/images of this checkout)
# REGISTRY    default http://127.0.0.1:${REGISTRY_PORT:-5000}
#
# Traps:
# * busybox-static of Debian runs its commands inside its own shell, so masking /bin/ls changes nothing for `sh -c ls`.
#   The package busybox (dynamic) does not: it is used here, with one *hard* link per command.
# * It has neither pgrep nor ipcs: the first is a script of this folder, the second util-linux's.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
dir=${IMAGES_DIR:-$(dirname "$(dirname "$here")")/target/images}
registry=${REGISTRY:-http://127.0.0.1:${REGISTRY_PORT:-5000}}
lib=lib/x86_64-linux-gnu

unpack() {              # PACKAGE...: into $dir/unpacked, which holds nothing else then
    local package
    rm -rf "$dir/unpacked"; mkdir -p "$dir/unpacked" "$dir/packages"
    for package in "$@"; do
        compgen -G "$dir/packages/${package}_*.deb" >/dev/null ||
            (cd "$dir/packages" && apt-get -o APT::Sandbox::User=root download -qq "$package")
        dpkg -x "$dir/packages/${package}"_*.deb "$dir/unpacked"
    done
}
libraries() {           # FILE ROOT: what it needs, soname by soname
    local so from
    objdump -p "$1" | awk '/NEEDED/ { print $2 }' | while read -r so; do
        [ -e "$2/$lib/$so" ] && continue
        for from in "$dir/unpacked/$lib" "$dir/unpacked/usr/$lib"; do
            if [ -e "$from/$so" ]; then cp -L "$from/$so" "$2/$lib/$so"; libraries "$from/$so" "$2"; break; fi
        done
    done
}
program() {             # PATH-IN-PACKAGE PATH-IN-ROOT ROOT
    mkdir -p "$3/$(dirname "$2")" "$3/lib64" "$3/$lib"
    cp -L "$dir/unpacked/$1" "$3/$2"
    libraries "$dir/unpacked/$1" "$3"
    cp -L "$dir/unpacked/$lib/ld-linux-x86-64.so.2" "$3/lib64/"
}

shell_root() {
    local root=$dir/shell.new; rm -rf "$root"
    unpack busybox util-linux libc6
    program bin/busybox bin/busybox "$root"
    program usr/bin/ipcs bin/ipcs "$root"
    install -m 755 "$here/pgrep" "$root/bin/pgrep"
    chroot "$root" /bin/busybox --list >"$dir/applets"
    mv "$root" "$dir/shell"
}
nginx_root() {
    local root=$dir/nginx.new so; rm -rf "$root"
    unpack nginx nginx-common libpcre2-8-0 libssl3 zlib1g libc6 libcrypt1
    program usr/sbin/nginx usr/sbin/nginx "$root"
    for so in libnss_files.so.2 libnss_compat.so.2; do cp -L "$dir/unpacked/$lib/$so" "$root/$lib/"; done
    mkdir -p "$root/etc/nginx"; cp "$dir/unpacked/etc/nginx/mime.types" "$root/etc/nginx/"
    mv "$root" "$dir/nginx"
}
prepare() {
    mkdir -p "$dir"
    exec 9>"$dir/lock"; flock 9         # demo and tests may come at the same time
    [ "$dir/nnp" -nt "$here/nnp.c" ] || gcc -Os -static -s -o "$dir/nnp" "$here/nnp.c"
    [ "$dir/pause" -nt "$here/pause.c" ] || gcc -Os -static -s -o "$dir/pause" "$here/pause.c"
    [ "$dir/udpecho" -nt "$here/udpecho.c" ] || gcc -Os -static -s -o "$dir/udpecho" "$here/udpecho.c"
    [ "$dir/attack" -nt "$here/attack.c" ] ||
        gcc -Os -static -nostdlib -fno-stack-protector -fno-builtin -s -o "$dir/attack" "$here/attack.c"
    [ -d "$dir/shell" ] || shell_root
    [ -d "$dir/nginx" ] || nginx_root
    rm -rf "$dir/unpacked"
}

case ${1:-} in
prepare) prepare ;;
push) shift
    [ -d "$dir/nginx" ] || { echo "images/build.sh: no inputs in $dir: run \`$0 prepare\` first, outside the node" >&2; exit 1; }
    # Python would leave its cache beside the scripts.
    exec /usr/bin/python3 -B "$here/mkimage.py" --inputs "$dir" --registry "$registry" "$@" ;;
*) echo "images/build.sh: prepare, or push with the sets demo, tests, critest" >&2; exit 2 ;;
esac
