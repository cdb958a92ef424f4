# What controllers make of pods: a Deployment, a DaemonSet, a StatefulSet, Jobs.
pods_of Deployment web 'replicas: 2' >/dev/null <<Y
topologySpreadConstraints:
  - {topologyKey: kubernetes.io/hostname, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
terminationGracePeriodSeconds: 2
containers:
  - {name: main, image: peapod/web:1, readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}}
Y
pods_of DaemonSet everywhere >/dev/null <<Y
terminationGracePeriodSeconds: 2
containers:
  - {name: main, image: peapod/web:1, ports: [{containerPort: 80, hostPort: 8080}]}
Y
pods_of StatefulSet db 'replicas: 3' 'serviceName: db' >/dev/null <<Y
terminationGracePeriodSeconds: 1
containers:
  - {name: main, image: peapod/shell:1, command: [sh, -c, "$idle"], readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}}
Y
k apply -f - >/dev/null <<Y
apiVersion: batch/v1
kind: Job
metadata: {name: squares}
spec:
  completions: 6
  parallelism: 3
  completionMode: Indexed
  template:
    metadata: {labels: {app: squares}}
    spec:
      restartPolicy: Never
      containers:
        - {name: main, image: peapod/shell:1, command: [sh, -c, "echo \$((JOB_COMPLETION_INDEX * JOB_COMPLETION_INDEX))"]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: fails}
spec:
  backoffLimit: 0
  template:
    metadata: {labels: {app: fails}}
    spec:
      restartPolicy: Never
      containers: [{name: main, image: peapod/shell:1, command: [sh, -c, "exit 3"]}]
Y
rolled() { k rollout status "$1" --timeout="${2:-60}s"; }

check "a Deployment of two is up" rolled deployment/web
check "one on each node" pods_have web '[.[].spec.nodeName] | sort == ["one", "two"]'
address_on() { k get pods -l app=web -o json | jq -r "[.items[] | select(.spec.nodeName == \"$1\") | .status.podIP][0]"; }
check "a pod of the one node reaches one of the other" k exec "$(one_of web one)" -- wget -q -O - "http://$(address_on two)/"
check "and back" k exec "$(one_of web two)" -- wget -q -O - "http://$(address_on one)/"

check "a DaemonSet is up" rolled daemonset/everywhere
for node in one two; do
    check "its host port answers on node $node" curl -fsS -m 5 -o /dev/null "http://${node_address[$node]}:8080/"
done

check "a StatefulSet of three is up" rolled statefulset/db
in_order='[sort_by(.metadata.name)[] | .status.conditions[] | select(.type == "Ready") | .lastTransitionTime] | . == sort'
check "one after the other" pods_have db "$in_order"
check "each under its name" prints db-1 k exec db-1 -- hostname
uid=$(k get pod db-1 -o 'jsonpath={.metadata.uid}')
k delete pod db-1 --wait=false >/dev/null
until_ok 60 "a pod of it that is deleted comes again under its name" pod_has db-1 \
    ".metadata.uid != \"$uid\" and any(.status.conditions[]; .type == \"Ready\" and .status == \"True\")"
k set env statefulset/db GENERATION=2 >/dev/null
check "it is rolled" rolled statefulset/db 120
check "to the last pod" prints 2 k exec db-0 -- sh -c 'echo $GENERATION'

check "a Job of six completes" k wait job/squares --for=condition=Complete --timeout=60s
check "each pod has said its number" prints "0 1 4 9 16 25" bash -c "'$kubectl' logs -l app=squares --tail=-1 | sort -n | xargs"
check "a Job that fails has failed" k wait job/fails --for=condition=Failed --timeout=60s
check "with its exit code" pods_have fails '[.[].status.containerStatuses[0].state.terminated | select(.exitCode == 3 and .reason == "Error")] | length == 1'

k scale deployment/web --replicas=30 >/dev/null
LIMIT=200 check "the Deployment is scaled to 30" rolled deployment/web 180
check "each pod with an address of its own" pods_have web '[.[].status.podIP] | unique | length == 30'
k set env deployment/web GENERATION=2 >/dev/null
LIMIT=260 check "and rolled" rolled deployment/web 240
check "to the last pod" pods_have web 'length == 30 and all(.[]; .spec.containers[0].env[0].value == "2")'
check "and none was started twice" pods_have web 'all(.[]; .status.containerStatuses[0].restartCount == 0)'
k scale deployment/web --replicas=2 >/dev/null
k delete job/squares job/fails statefulset/db --wait=false >/dev/null
only() { k get pods -l "app=$1" -o json | jq -e ".items | length == $2"; }
until_ok 90 "those that are too many go" only web 2
until_ok 60 "and the StatefulSet's" only db 0
