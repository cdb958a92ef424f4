#!/bin/bash
# etcd, API server, controller manager and scheduler in the foreground, inside a node: control-plane.sh DIR NODE...
#
# DIR gets kubeconfigs, admin.kubeconfig and one for each kubelet, their state and logs. Everybody may do everything who
# has one of the tokens. Nothing but the node's own network reaches it.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
. "$here/../../scripts/env.sh"
dir=$1; shift
mkdir -p "$dir"/{pki,logs}
etcd=http://127.0.0.1:2379 api=https://$NODE_ADDRESS:6443 pki=$dir/pki

openssl genrsa -out "$pki/accounts.key" 2048
openssl rsa -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$pki/api.key" -out "$pki/api.crt" -subj /CN=api \
    -addext "subjectAltName=IP:$NODE_ADDRESS,IP:127.0.0.1,IP:10.96.0.1"
kubeconfig() {          # NAME TOKEN
    cat >"$dir/.$1.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: cluster, cluster: {server: "$api", certificate-authority: $pki/api.crt}}]
users: [{name: user, user: {token: $2}}]
contexts: [{name: context, context: {cluster: cluster, user: user}}]
current-context: context
K
    mv "$dir/.$1.kubeconfig" "$dir/$1.kubeconfig"
}
echo 'of-admin,admin,admin,"system:masters"' >"$pki/tokens.csv"
for node; do echo "of-$node,system:node:$node,$node,\"system:nodes\"" >>"$pki/tokens.csv"; done
for name in admin "$@"; do kubeconfig "$name" "of-$name"; done

# Nothing of it is to be kept.
trap 'kill -KILL $(jobs -p) 2>/dev/null || :; wait' EXIT
trap 'exit 130' INT; trap 'exit 143' TERM
start() { local name=$1; shift; "$PEAPOD_GOTOOLS/$name" "$@" >"$dir/logs/$name.log" 2>&1 </dev/null & last=$! name_of_last=$name; }
answers() {             # SECONDS CURL-ARGUMENT...
    local limit=$((SECONDS + $1)); shift
    until curl -fsk -m 2 -o /dev/null "$@"; do
        kill -0 "$last" || { echo "control-plane.sh: $name_of_last has ended" >&2; exit 1; }
        [ $SECONDS -lt $limit ] || { echo "control-plane.sh: $name_of_last does not answer: $*" >&2; exit 1; }
        sleep 0.1
    done
}

start etcd --data-dir "$dir/etcd" --listen-client-urls $etcd --advertise-client-urls $etcd --listen-peer-urls http://127.0.0.1:2380 \
    --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380 --unsafe-no-fsync --log-level warn
answers 60 $etcd/readyz
start kube-apiserver --etcd-servers=$etcd --advertise-address="$NODE_ADDRESS" --secure-port=6443 --tls-cert-file="$pki/api.crt" \
    --tls-private-key-file="$pki/api.key" --token-auth-file="$pki/tokens.csv" --authorization-mode=AlwaysAllow \
    --service-cluster-ip-range=10.96.0.0/24 --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$pki/accounts.pub" --service-account-signing-key-file="$pki/accounts.key" \
    --kubelet-preferred-address-types=InternalIP --allow-privileged=true
answers 120 -H 'Authorization: Bearer of-admin' "$api/readyz"
# A node is taken for dead after 6 s of silence; its kubelet speaks every second (worker.sh).
start kube-controller-manager --kubeconfig="$dir/admin.kubeconfig" --service-account-private-key-file="$pki/accounts.key" \
    --root-ca-file="$pki/api.crt" --leader-elect=false --secure-port=0 --use-service-account-credentials=false \
    --node-monitor-period=1s --node-monitor-grace-period=6s
start kube-scheduler --kubeconfig="$dir/admin.kubeconfig" --leader-elect=false --secure-port=0
wait -n || :
echo "control-plane.sh: a part of the control plane has ended" >&2; exit 1
