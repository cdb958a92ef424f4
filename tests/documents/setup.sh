#!/bin/bash
# Makes a node (tests/node.sh) into the machine of a reader: peapod is installed, /etc and /usr are his own, and docker.io is
# answered by the images that the tests have. Run in that node, in his folder.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"

for dir in etc usr; do
    mkdir -p "$NODE_DIR/$dir"/{upper,work}
    mount -t overlay -o "lowerdir=/$dir,upperdir=$NODE_DIR/$dir/upper,workdir=$NODE_DIR/$dir/work" overlay "/$dir"
done
for file in hosts resolv.conf; do mount --bind "$NODE_DIR/$file" "/etc/$file"; done

# As `make install` does it, but without copies.
mkdir -p /usr/libexec/peapod /etc/peapod /etc/containerd/certs.d/docker.io
ln -sf "$PEAPOD_BIN" /usr/bin/peapod
ln -sf "$PEAPOD_SHIM" /usr/libexec/peapod/
ln -sf "$here/unit.sh" /usr/bin/unit
ln -sf "$here/given.sh" /usr/bin/given
cp "$root/packaging/crictl.yaml" /etc/peapod/
for tool in "$PEAPOD_GOTOOLS"/*; do ln -sf "$tool" /usr/bin/; done

printf 'server = "http://127.0.0.1:5000"\n[host."http://127.0.0.1:5000"]\ncapabilities = ["pull", "resolve"]\n' \
    >/etc/containerd/certs.d/docker.io/hosts.toml
REGISTRY_DIR=${REGISTRY_DIR:-$target/registry} "$here/../registry.sh" start
ln -s "$root/examples" examples
