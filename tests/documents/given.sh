#!/bin/bash
# What is there before a part of a document is read: given THING, run in the reader's folder on his machine.
set -euo pipefail
. "$PEAPOD_CHECKOUT/scripts/env.sh"
images=$root/tests/images registry=$root/tests/registry.sh
export REGISTRY_DIR=${REGISTRY_DIR:-$target/registry}

archive() { python3 -B "$images/archive.py" 127.0.0.1:5000 library/busybox 1 "$@"; }     # NAME FORM FILE
host() { echo "127.0.0.1 $1" >>/etc/hosts; }
busybox() { peapod pull docker.io/library/busybox:1; }

daemon() { unit start; }
web() { unit start; peapod run -d examples/web.yaml; }
no_pods() { until [ "$(peapod ps -a -o json)" = '[]' ]; do sleep 0.1; done; }

# What `docker save` writes, without docker.
archives() {
    archive example.com/shell:1 oci shell.tar
    archive example.com/shell:1 folder layout
    archive busybox:latest docker docker.tar
    local docker; docker=$(command -v docker || echo /usr/bin/docker)
    rm -f "$docker"; printf '#!/bin/sh\ncat %s/docker.tar\n' "$PWD" >"$docker"; chmod +x "$docker"
}
containerd() { printf 'version = 3\n[plugins."io.containerd.cri.v1.images"]\nmax_concurrent_downloads = 3\n' >/etc/containerd/config.toml; }

mirror() { host mirror.example; }
certificates() {
    host registry.example
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj '/CN=the readers own'
    openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=registry.example
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -days 2 -out cert.pem -extfile <(echo subjectAltName=DNS:registry.example)
    REGISTRY_PORT=443 REGISTRY_CERT=$PWD/cert.pem REGISTRY_KEY=$PWD/key.pem "$registry" start
} 2>/dev/null
private_registry() {
    host private.example
    mkdir -p /etc/containerd/certs.d/private.example:5002
    echo 'server = "http://private.example:5002"' >/etc/containerd/certs.d/private.example:5002/hosts.toml
    echo secret >password.txt
    REGISTRY_PORT=5002 REGISTRY_USER=me REGISTRY_PASSWORD=secret "$registry" start
}

mistake() { mkdir -p /etc/peapod; printf '[metrics]\nadress = "127.0.0.1:9434"\n' >/etc/peapod/config.toml; unit start 2>/dev/null || :; }
# A file of CNI in which a hand slipped.
broken_network() { rm -f /etc/peapod/config.toml; unit start; mkdir -p /etc/cni/net.d; echo '{name: cluster}' >/etc/cni/net.d/10-cluster.conflist; }
# All pods from then on get this plugin of CNI. It waits until the daemon has read that.
network() {             # PLUGIN
    local read; read=$(grep -c 'CNI configuration read' /var/log/peapod.log || :)
    printf '{"cniVersion": "1.0.0", "name": "cluster", "plugins": [{"type": "%s"}]}' "$1" >/etc/cni/net.d/new
    mv /etc/cni/net.d/new /etc/cni/net.d/10-cluster.conflist
    until [ "$(grep -c 'CNI configuration read' /var/log/peapod.log)" -gt "$read" ]; do sleep 0.05; done
}
pod() {                 # NAME COMMAND: its manifest
    printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  restartPolicy: Never\n  containers:\n' "$1"
    printf '    - {name: main, image: "docker.io/library/busybox:1", command: [%s]}\n' "$2"
}
knows() { until peapod why "$1" 2>/dev/null | grep -q "$2"; do sleep 0.05; done; }    # POD WORDS
# One pod waits for a plugin that hangs, another needs one that is not there.
slow_network() {
    busybox; mkdir plugins
    cat >plugins/slow <<'P'
#!/bin/sh
case $CNI_COMMAND in
ADD) while [ ! -e /run/go ]; do sleep 0.05; done; echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.196.0.2/24"}]}' ;;
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}' ;;
esac
P
    chmod +x plugins/slow
    printf '[network]\ncni_bin_dirs = ["%s/plugins"]\n' "$PWD" >/etc/peapod/config.toml
    unit restart; network missing
    pod fails "sleep, '53201'" >fails.yaml; ! peapod run fails.yaml || return 1
    network slow
    pod app "sleep, '53202'" >app.yaml; peapod run app.yaml >/dev/null 2>&1 &
    knows app 'CNI plugin slow'
}
built_in_network() { touch /run/go; knows app StartContainer; peapod down app.yaml; rm /etc/cni/net.d/*; unit restart; }
wrong_command() { pod wrong serve >wrong.yaml; }
slow_end() {
    pod slow "sleep, '53203'" >slow.yaml; peapod run -d slow.yaml
    peapod stop --grace 20 slow >/dev/null 2>&1 &
    knows slow 'running for'
}
sessions() { peapod stop --grace 0 slow || :; no_pods; web; cp /etc/peapod/crictl.yaml /etc/crictl.yaml; }
# The state root is a disk of its own, with room for the smaller image.
small_disk() {
    peapod down examples/web.yaml; unit stop
    umount /run/peapod; mount -t tmpfs -o size=8m tmpfs /var/lib/peapod
    unit start; busybox
}
large_disk() { unit stop; umount /run/peapod /var/lib/peapod; unit start; }

"$@"
