//! The Pod examples of Kubernetes' documentation (`content/en/examples/pods` of its website): which fields each uses,
//! in words of our own, and whether it runs. None of their text is here.

use super::{ManifestSource, load};

/// A line for each file: its name, what it is made of, and behind `=>` why it is refused, if it is.
const TABLE: &str = include_str!("testdata/examples.txt");

/// What a field of the table stands for: in the pod's spec, or in a container.
const SPEC: &[(&str, &str)] = &[
    (
        "affinity",
        "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: \
                  [{matchExpressions: [{key: k, operator: In, values: [v]}]}]}}}",
    ),
    (
        "pod-affinity",
        "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: z, \
                      labelSelector: {matchLabels: {a: b}}}]}}",
    ),
    ("nodeSelector", "nodeSelector: {disk: ssd}"),
    ("nodeName", "nodeName: other"),
    ("tolerations", "tolerations: [{key: a.b/c, operator: Exists, effect: NoSchedule}]"),
    ("schedulingGates", "schedulingGates: [{name: a.b/c}]"),
    (
        "topologySpread",
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, \
                        labelSelector: {matchLabels: {a: b}}}]",
    ),
    ("restartPolicy", "restartPolicy: Never"),
    ("dnsPolicy", "dnsPolicy: Default"),
    ("serviceAccountName", "serviceAccountName: robot"),
    ("imagePullSecrets", "imagePullSecrets: [{name: gone}]"),
    ("shareProcesses", "shareProcessNamespace: true"),
    ("hostUsers", "hostUsers: false"),
    ("pod-resources", "resources: {requests: {cpu: 1, memory: 100Mi}, limits: {cpu: 1, memory: 200Mi}}"),
    ("pod-pids", "resources: {limits: {pids: 2048}}"),
    ("ephemeralContainers", "ephemeralContainers: [{name: e, image: x}]"),
    ("pod-user", "securityContext: {runAsUser: 1000, runAsGroup: 3000}"),
    ("pod-groups", "securityContext: {runAsUser: 1000, supplementalGroups: [4000]}"),
    ("pod-strict", "securityContext: {runAsUser: 1000, supplementalGroups: [4000], supplementalGroupsPolicy: Strict}"),
    ("fsGroup", "securityContext: {runAsUser: 1000, fsGroup: 2000}"),
    ("seccomp-default", "securityContext: {seccompProfile: {type: RuntimeDefault}}"),
    ("seccomp-local", "securityContext: {seccompProfile: {type: Localhost, localhostProfile: profiles/a.json}}"),
    ("apparmor-default", "securityContext: {appArmorProfile: {type: RuntimeDefault}}"),
    ("apparmor-local", "securityContext: {appArmorProfile: {type: Localhost, localhostProfile: a}}"),
    ("init", "initContainers: [{name: i, image: x, command: [a]}]"),
    ("sidecar", "initContainers: [{name: i, image: x, restartPolicy: Always}]"),
    (
        "sidecar-probe",
        "initContainers: [{name: i, image: x, restartPolicy: Always, startupProbe: {exec: {command: [a]}}}]",
    ),
    (
        "restart-rules",
        "initContainers: [{name: i, image: x, restartPolicy: Always, restartPolicyRules: [{action: RestartAllContainers, \
                       exitCodes: {operator: In, values: [88]}}]}]",
    ),
    ("second", "containers: [{name: b, image: x}]"),
    ("emptyDir", "volumes: [{name: v, emptyDir: {}}]"),
    ("emptyDir-size", "volumes: [{name: v, emptyDir: {sizeLimit: 10Mi}}]"),
    ("emptyDir-mode", "volumes: [{name: v, emptyDir: {mode: 01777}}]"),
    ("configMap", "volumes: [{name: v, configMap: {name: c}}]"),
    ("configMap-items", "volumes: [{name: v, configMap: {name: c, items: [{key: k, path: p}]}}]"),
    ("secret", "volumes: [{name: v, secret: {secretName: s}}]"),
    (
        "downward-fields",
        "volumes: [{name: v, downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.labels}}]}}]",
    ),
    (
        "downward-amounts",
        "volumes: [{name: v, downwardAPI: {items: [{path: p, resourceFieldRef: {containerName: a, \
                          resource: limits.cpu, divisor: 1m}}]}}]",
    ),
    (
        "projected",
        "volumes: [{name: v, projected: {sources: [{secret: {name: s, items: [{key: k, path: g/p, mode: 511}]}}, \
                   {configMap: {name: c}}, {downwardAPI: {items: [{path: q, fieldRef: {fieldPath: metadata.labels}}]}}]}}]",
    ),
    (
        "token",
        "volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 3600}}]}}]",
    ),
    ("trust-bundle", "volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: b, path: p}}]}}]"),
    (
        "certificate",
        "volumes: [{name: v, projected: {sources: [{podCertificate: {keyType: ED25519, signerName: a/b}}]}}]",
    ),
    ("image-volume", "volumes: [{name: v, image: {reference: x, pullPolicy: IfNotPresent}}]"),
    ("claim", "volumes: [{name: v, persistentVolumeClaim: {claimName: k}}]"),
];

const CONTAINER: &[(&str, &str)] = &[
    ("command", "command: [a]"),
    ("args", "args: [b]"),
    ("ports", "ports: [{name: http, containerPort: 80}]"),
    ("pullPolicy", "imagePullPolicy: IfNotPresent"),
    ("env", "env: [{name: A, value: $(B)}]"),
    ("env-configMap", "env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: k}}}]"),
    ("env-secret", "env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]"),
    ("env-field", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]"),
    ("env-amount", "env: [{name: A, valueFrom: {resourceFieldRef: {containerName: a, resource: limits.memory}}}]"),
    ("env-file", "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: f, key: K, optional: false}}}]"),
    ("envFrom-configMap", "envFrom: [{configMapRef: {name: c}}]"),
    ("envFrom-secret", "envFrom: [{secretRef: {name: s}}]"),
    ("resources", "resources: {requests: {cpu: 0.5, memory: 100Mi}, limits: {cpu: 1, memory: 200Mi}}"),
    ("extended", "resources: {limits: {example.com/dongle: 3}}"),
    ("resizePolicy", "resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]"),
    ("mounts", "volumeMounts: [{name: v, mountPath: /v, readOnly: true}]"),
    ("subPath", "volumeMounts: [{name: v, mountPath: /v, subPath: s}]"),
    ("stdin", "stdin: true"),
    ("tty", "tty: true"),
    ("escalation", "securityContext: {allowPrivilegeEscalation: false}"),
    ("user", "securityContext: {runAsUser: 2000, allowPrivilegeEscalation: false}"),
    ("capabilities", "securityContext: {capabilities: {add: [NET_ADMIN, SYS_TIME]}}"),
    ("container-seccomp", "securityContext: {seccompProfile: {type: Localhost, localhostProfile: a.json}}"),
    ("cgroupOptions", "securityContext: {cgroupOptions: {mountMode: ReadWrite}}"),
    ("probe-exec", "livenessProbe: {exec: {command: [a]}}"),
    ("probe-http", "livenessProbe: {httpGet: {path: /, port: 80}, initialDelaySeconds: 3, periodSeconds: 3}"),
    ("probe-grpc", "livenessProbe: {grpc: {port: 2379}}"),
    ("probe-tcp", "readinessProbe: {tcpSocket: {port: 80}}"),
    ("lifecycle", "lifecycle: {postStart: {exec: {command: [a]}}, preStop: {exec: {command: [b]}}}"),
];

const OBJECTS: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {k: v}}\n---\n\
                       {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {k: v}}\n";

/// A Pod of these fields, or a document of another kind.
fn written(fields: &[&str]) -> String {
    let line = |table: &[(&str, &'static str)], field: &str| {
        table.iter().find(|(name, _)| *name == field).map(|(_, line)| *line)
    };
    match fields {
        ["ConfigMap" | "Secret"] => return OBJECTS.to_owned(),
        ["PersistentVolumeClaim"] => {
            return "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: k}, spec: {storageClassName: m, \
                    resources: {requests: {storage: 3Gi}}}}"
                .to_owned();
        }
        ["PersistentVolume"] => return "{apiVersion: v1, kind: PersistentVolume, metadata: {name: p}}".to_owned(),
        ["Cluster"] => return "{apiVersion: kind.x-k8s.io/v1alpha4, kind: Cluster, nodes: []}".to_owned(),
        ["profile"] => return "{defaultAction: SCMP_ACT_ERRNO}".to_owned(),
        ["two-pods"] => {
            let second = written(&["args"]).replace("name: p", "name: q");
            return format!("{}---\n{second}", written(&["command"]));
        }
        _ => {}
    }
    let mut spec = String::new();
    let mut container = String::from("  - name: a\n    image: x\n");
    let mut further = String::new();
    for field in fields {
        match (line(SPEC, field), line(CONTAINER, field)) {
            _ if *field == "annotations" => {}
            (Some(line), _) if *field == "second" => further = format!("  - {}\n", &line[13..line.len() - 1]),
            (Some(line), _) => spec.push_str(&format!("  {line}\n")),
            (None, Some(line)) => container.push_str(&format!("    {line}\n")),
            (None, None) => panic!("no field `{field}`"),
        }
    }
    let annotations = if fields.contains(&"annotations") {
        ", annotations: {container.apparmor.security.beta.kubernetes.io/a: localhost/p}"
    } else {
        ""
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{annotations}}}\nspec:\n{spec}  containers:\n{container}{further}"
    )
}

#[test]
fn the_examples_of_the_documentation_run_or_are_refused_for_a_reason() {
    let mut count = 0;
    for row in TABLE.lines().filter(|row| !row.is_empty() && !row.starts_with('#')) {
        count += 1;
        let (name, rest) = row.split_once(':').unwrap();
        let (fields, verdict) = rest.split_once("=>").unwrap_or((rest, ""));
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let text = written(&fields);
        let has_pod = text.contains("kind: Pod");
        let source = |name: &str, text: &str| ManifestSource { name: name.into(), path: None, text: text.into() };
        let mut sources = vec![source(name, &text)];
        if has_pod {
            sources.push(source("objects", OBJECTS));
        }
        let loaded = load(&sources);
        let said = loaded.as_ref().err().map(ToString::to_string).unwrap_or_default();
        match verdict.trim() {
            "" => assert!(loaded.is_ok(), "{name}: {said}\n{text}"),
            reason => assert!(said.contains(reason), "{name}: {said}"),
        }
    }
    assert_eq!(count, 124, "files in the documentation");
}
