//! Manifests as users write them: what they become, and what is said about them.

use super::*;

pub(super) const SMALL: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: a, image: x}\n";

/// What is said about a manifest; empty if it can be run.
pub(super) fn said(text: &str) -> String {
    read(text).err().map(|error| error.to_string()).unwrap_or_default()
}

/// A Pod whose one container has these further lines.
pub(super) fn container(lines: &str) -> String {
    format!("{SMALL}    {}\n", lines.replace('\n', "\n    "))
        .replace("- {name: a, image: x}", "- name: a\n    image: x")
}

#[test]
fn the_smallest_pod_gets_the_defaults_of_kubernetes() {
    let pod = read(SMALL).unwrap();
    assert_eq!((pod.name.as_str(), pod.namespace.as_str(), pod.network.hostname.as_str()), ("web", "default", "web"));
    assert_eq!((pod.restart, pod.grace_seconds), (RestartPolicy::Always, 30));
    assert_eq!((pod.containers[0].image.as_str(), pod.containers[0].pull), ("x:latest", PullPolicy::Always));
    assert!(!pod.network.host && !pod.security.share_process_namespace);
}

#[test]
fn everything_supported_arrives() {
    let pod = read(include_str!("testdata/full.yaml")).unwrap();
    assert_eq!(pod.metadata.labels["app"], "web");
    assert_eq!(pod.grace_seconds, 5);
    assert_eq!(pod.init_containers[0].name, "prepare");
    assert_eq!(
        pod.volumes[1].source,
        VolumeSource::HostPath { path: "/srv/www".into(), kind: HostPathType::DirectoryOrCreate }
    );
    let server = &pod.containers[0];
    assert_eq!(server.process.command, ["/bin/httpd", "-p", "$(PORT)", "$(UNKNOWN)", "$$(PORT)"]);
    assert_eq!(server.process.env[1].source, EnvSource::Text("http://localhost:$(PORT)/".into()));
    assert_eq!(
        server.ports[0],
        ContainerPort {
            name: "http".into(),
            protocol: PortProtocol::Tcp,
            container_port: 8080,
            host_port: Some(18080),
            host_ip: "127.0.0.1".into()
        }
    );
    assert_eq!((server.mounts[0].path.as_str(), server.mounts[0].read_only), ("/srv", ReadOnlyMount::Volume));
    assert_eq!(server.mounts[1].read_only, ReadOnlyMount::Writable);
    assert_eq!(pod.containers[1].pull, PullPolicy::Never);
    let json: serde_json::Value = serde_saphyr::from_str(include_str!("testdata/full.yaml")).unwrap();
    assert_eq!(read(&serde_json::to_string_pretty(&json).unwrap()).unwrap(), pod, "as JSON");
}

#[test]
fn what_generators_write_for_nothing_is_nothing() {
    let text = format!("{SMALL}status: {{}}\n").replace("{name: web}", "{name: web, creationTimestamp: null}");
    assert_eq!(said(&text), "");
    assert_eq!(said(&container("resources: {}\nenv: []\nlivenessProbe:")), "");
}

#[test]
fn unsupported_fields_are_refused_with_path_and_line() {
    let text =
        container("resources:\n  limits: {a.b/c: 1}\nlivnessProbe: {exec: {command: [a]}}\nvolumeDevices: [{name: v}]");
    let said = said(&text);
    let lines: Vec<&str> = said.lines().skip(1).map(str::trim).collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines[0].starts_with("line 9: spec.containers[0].resources.limits.a.b/c can't be carried out by"),
        "{said}"
    );
    assert!(lines[1].starts_with("line 10: spec.containers[0].livnessProbe is no field of a Pod"), "{said}");
    assert!(lines[2].starts_with("line 11: spec.containers[0].volumeDevices can't be carried out by"), "{said}");
}

#[test]
fn slips_of_the_pen_are_named() {
    let said = said(&container("comand: [a]\nImagePullPolicy: Never\nports: [{containerport: 1}]"));
    assert!(said.contains("line 8: spec.containers[0].comand is no field of a Pod; is `command` meant?"), "{said}");
    assert!(said.contains("is `imagePullPolicy` meant?"), "{said}");
    assert!(said.contains("is `containerPort` meant?") && said.contains("containerPort is missing"), "{said}");
}

#[test]
fn values_of_another_type_say_what_to_write() {
    for (lines, expected) in [
        ("env: [{name: A, value: 8080}]", "line 8: spec.containers[0].env[0].value has to be text, not a number: put"),
        ("env: [{name: A, value: yes}]", "env[0].value has to be text, not true or false: put it into quotes"),
        (
            "env: [{name: A, valueFrom: {fieldRef: {fieldPath: x}}}]",
            "env[0].valueFrom.fieldRef.fieldPath is `x`; it can be metadata.name",
        ),
        ("command: /bin/sh", "command has to be a list, not text"),
        ("args: [1]", "args[0] has to be text"),
        ("ports: [{containerPort: '80'}]", "containerPort has to be a whole number, not text"),
        ("ports: [{containerPort: 70000}]", "containerPort is 70000; it has to be from 1 to 65535"),
        ("ports: [{containerPort: 1, protocol: tcp}]", "protocol is `tcp`; it can be TCP, UDP, SCTP"),
        ("ports: [{containerPort: 1, hostIP: x}]", "hostIP is `x`; it has to be an IP address"),
        ("ports: [{containerPort: 1, hostPort: 5}, {containerPort: 2, hostPort: 5}]", "ports[1].hostPort is 5, as is"),
        ("workingDir: etc", "line 8: spec.containers[0].workingDir is `etc`; it has to be an absolute path"),
        (
            "securityContext: {capabilities: {add: [NET_ADMIN, CAP_NOTHING]}}",
            "capabilities.add[1] is `CAP_NOTHING`, which is no capability",
        ),
        ("imagePullPolicy: Sometimes", "is `Sometimes`; it can be Always, IfNotPresent, Never"),
        ("volumeMounts: [{name: v, mountPath: /v}]", "name is `v`, which is none of spec.volumes"),
    ] {
        let said = said(&container(lines));
        assert!(said.contains(expected), "{lines}: {said}");
    }
}

#[test]
fn a_pods_own_mistakes_are_named() {
    for (from, to, expected) in [
        ("name: web", "name: Web", "line 3: metadata.name is `Web`"),
        ("name: web", "generateName: web-", "metadata.name is missing: generateName is for a server"),
        ("kind: Pod", "kind: Deployment", "it is a Deployment of apiVersion v1, and `peapod run` runs Pods"),
        ("spec:", "spec:\n  restartPolicy: Sometimes", "line 5: spec.restartPolicy is `Sometimes`"),
        ("spec:", "spec:\n  terminationGracePeriodSeconds: -1", "is -1; it has to be 0 to 4294967295 seconds"),
        ("spec:", "spec:\n  volumes: [{name: v, hostPath: {path: v}}]", "hostPath.path has to be an absolute path"),
        (
            "spec:",
            "spec:\n  volumes: [{name: v, hostPath: {path: /v, type: Dir}}]",
            "hostPath.type is `Dir`; it can be",
        ),
        (
            "spec:",
            "spec:\n  volumes: [{name: v, emptyDir: {medium: Disk}}]",
            "emptyDir.medium is `Disk`; it can be Memory",
        ),
        (
            "spec:",
            "spec:\n  volumes: [{name: v, nfs: {path: /x, server: y}}]",
            "volumes[0].nfs can't be carried out by",
        ),
        (
            "spec:",
            "spec:\n  volumes: [{name: v, secret: {secretName: x}}]",
            "secret.secretName is `x`, and these files have",
        ),
        (
            "{name: a, image: x}",
            "{name: a, image: x}\n  - {name: a, image: z}",
            "line 7: spec.containers[1].name is `a`",
        ),
        ("{name: a, image: x}", "{name: a}", "line 6: spec.containers[0].image is missing"),
        ("spec:", "spec:\n  hostNetwork: maybe", "line 5: spec.hostNetwork has to be true or false, not text"),
        ("spec:", "kind: Pod\nspec:", "duplicate mapping key: kind not allowed here at line 4"),
    ] {
        let said = said(&SMALL.replacen(from, to, 1));
        assert!(said.contains(expected), "{to}: {said}");
    }
    let empty = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: []}}";
    assert!(said(empty).contains("spec.containers is empty"));
    assert!(said("").contains("nothing in it") && said("---\n---\n").contains("nothing in it"));
    assert!(said(&format!("{SMALL}---\n{SMALL}")).contains("line 10: metadata.name is `web`, as is another Pod's"));
    assert!(said("a: [").contains("line "), "{}", said("a: ["));
    assert_eq!(said(&format!("---\n{SMALL}---\n")), "");
}

#[test]
fn images_without_a_tag_are_latest() {
    for (image, full, pull) in [
        ("x", "x:latest", PullPolicy::Always),
        ("x:latest", "x:latest", PullPolicy::Always),
        ("x:1", "x:1", PullPolicy::IfNotPresent),
        ("h:5000/x", "h:5000/x:latest", PullPolicy::Always),
        ("h:5000/x:1", "h:5000/x:1", PullPolicy::IfNotPresent),
        ("x@sha256:0", "x@sha256:0", PullPolicy::IfNotPresent),
    ] {
        let pod = read(&SMALL.replace("image: x", &format!("image: '{image}'"))).unwrap();
        assert_eq!((pod.containers[0].image.as_str(), pod.containers[0].pull), (full, pull));
    }
}
