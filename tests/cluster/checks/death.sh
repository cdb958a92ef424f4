# Node two dies at once, with all that runs on it, and what ran there comes up on node one.
pods_of Deployment moves 'replicas: 6' >/dev/null <<Y
terminationGracePeriodSeconds: 1
topologySpreadConstraints:
  - {topologyKey: kubernetes.io/hostname, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: moves}}}
tolerations:
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
containers:
  - {name: main, image: peapod/web:1, readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}}
Y
check "a Deployment of six is up" k rollout status deployment/moves --timeout=60s
check "on both nodes" pods_have moves '[.[].spec.nodeName] | unique == ["one", "two"]'
node_down two
died=$SECONDS
until_ok 60 "its death is noticed" nodes_ready 1
all_on_one() {
    pods_have moves '[.[] | select(.spec.nodeName == "one" and any(.status.conditions[]; .type == "Ready" and .status == "True"))] | length == 6'
}
until_ok 60 "all six are up on the other" all_on_one
echo "        ($((SECONDS - died)) s after its death)"
check "and answer" curl -fsS -m 5 -o /dev/null "http://$(k get pods -l app=moves --field-selector spec.nodeName=one -o 'jsonpath={.items[0].status.podIP}')/"
# Nobody is there to confirm the end of its pods.
left_on_two() { k get pods --field-selector spec.nodeName=two -o json | jq -e ".items | length $1"; }
check "pods of it are left" left_on_two '> 0'
k delete node two >/dev/null
check "which are deleted with it" k delete pods --field-selector spec.nodeName=two --force --grace-period=0
until_ok 10 "to the last one" left_on_two '== 0'
