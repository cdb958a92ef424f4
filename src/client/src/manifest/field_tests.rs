//! Several documents, what fields do, and what does not go together.

use super::files::VolumeFile;
use super::tests::{SMALL, container, said};
use super::*;

/// Files beside each other, by name.
fn files(texts: &[(&str, &str)]) -> Vec<ManifestSource> {
    texts.iter().map(|(name, text)| ManifestSource { name: (*name).into(), path: None, text: (*text).into() }).collect()
}

/// What is said about several files; empty if they can be run.
fn said_of(texts: &[(&str, &str)]) -> String {
    load(&files(texts)).err().map(|error| error.to_string()).unwrap_or_default()
}

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: one, b.txt: two}\n\
                      binaryData: {raw: '/w=='}\n";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {user: bWU=, both: b2xk}\n\
                      stringData: {both: hidden}\n";

#[test]
fn objects_of_other_documents_are_what_a_pod_refers_to() {
    let lines = "env:\n- {name: A, valueFrom: {configMapKeyRef: {name: c, key: a}}}\n\
                 - {name: B, valueFrom: {secretKeyRef: {name: none, key: x, optional: true}}}\n\
                 envFrom: [{prefix: S_, secretRef: {name: s}}, {configMapRef: {name: none, optional: true}}]";
    let pod = container(lines).replace(
        "spec:",
        "spec:\n  volumes:\n  - {name: v, configMap: {name: c, defaultMode: 0440, items: [{key: raw, path: d/r, mode: 256}]}}\n  \
         - name: p\n    projected: {sources: [{secret: {name: s}}, {downwardAPI: {items: [{path: m, fieldRef: {fieldPath: metadata.name}}]}}]}",
    );
    let loaded = load(&files(&[("a", &format!("{CONFIG}---\n{pod}")), ("b", SECRET)])).unwrap();
    let [Workload::Pod(pod)] = loaded.workloads.as_slice() else { panic!() };
    let env: Vec<_> = pod.containers[0].process.env.iter().map(|one| (one.name.as_str(), one.source.clone())).collect();
    let plain = |text: &str| EnvSource::Plain(text.to_owned());
    assert_eq!(env, [("S_both", plain("hidden")), ("S_user", plain("me")), ("A", plain("one"))]);
    let VolumeSource::Files(set) = &pod.volumes[0].source else { panic!() };
    let file = VolumeFile { path: "d/r".into(), mode: 0o400, user: None, content: FileContent::Bytes([0xff].into()) };
    assert_eq!((set.files.as_slice(), set.in_memory), ([file].as_slice(), false));
    let VolumeSource::Files(set) = &pod.volumes[1].source else { panic!() };
    assert_eq!(
        set.files.iter().map(|file| (file.path.as_str(), file.mode)).collect::<Vec<_>>(),
        [("both", 0o644), ("user", 0o644), ("m", 0o644)]
    );
    assert!(set.in_memory && !format!("{pod:?}").contains("hidden"), "secrets are not printed");
}

/// A pod with a volume of these items of a ConfigMap, whose key `a` has that text.
fn with_items(text: &str, items: &str) -> Vec<ManifestSource> {
    let volumes = format!("spec:\n  volumes: [{{name: v, configMap: {{name: c, items: [{items}]}}}}]");
    let pod = container("").replace("spec:", &volumes);
    let config = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{a: {text}}}\n");
    files(&[("p", &pod), ("c", &config)])
}

#[test]
fn files_lie_where_a_kubelet_puts_them() {
    let paths = |given: &str| {
        let loaded =
            load(&with_items("one", &format!("{{key: a, path: {given}}}"))).map_err(|error| error.to_string())?;
        let [Workload::Pod(pod)] = loaded.workloads.as_slice() else { panic!() };
        let VolumeSource::Files(set) = &pod.volumes[0].source else { panic!() };
        Ok::<_, String>(set.files[0].path.clone())
    };
    for (given, path) in [("k", "k"), ("./k", "k"), ("d//k", "d/k"), ("d/./k/", "d/k"), ("a/..b", "a/..b")] {
        assert_eq!(paths(given).as_deref(), Ok(path), "{given}");
    }
    let (long, deep) = ("x".repeat(256), "x/".repeat(2049));
    for given in [".", "./", "..k", "./..data", "a/../k", "/k", "''", long.as_str(), &deep] {
        let said = paths(given).unwrap_err();
        assert!(said.contains("p, line 5: spec.volumes[0].configMap.items[0].path is"), "{given}: {said}");
    }
}

#[test]
fn contents_are_shared_and_have_a_bound() {
    let text = "x".repeat(1 << 20);
    let items = |count: usize| (0..count).map(|n| format!("{{key: a, path: f{n}}}")).collect::<Vec<_>>().join(", ");
    let loaded = load(&with_items(&text, &items(64))).unwrap();
    let [Workload::Pod(pod)] = loaded.workloads.as_slice() else { panic!() };
    let VolumeSource::Files(set) = &pod.volumes[0].source else { panic!() };
    let FileContent::Bytes(first) = &set.files[0].content else { panic!() };
    // With the object itself.
    assert_eq!(std::sync::Arc::strong_count(first), 64 + 1);
    let said = load(&with_items(&text, &items(65))).unwrap_err().to_string();
    assert!(said.contains("p, line 5: spec.volumes[0] has too much: the files of all volumes have 64 MiB"), "{said}");
}

#[test]
fn templates_refer_to_objects_as_pods_do() {
    let template = "    metadata: {labels: {app: w}}\n    spec:\n      dnsPolicy: ClusterFirst\n      containers:\n      - name: c\n        \
                    image: x\n        env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: a}}}]\n";
    let job = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\nspec:\n  template:\n{}",
        template.replace(
            "containers:",
            "restartPolicy: Never\n      setHostnameAsFQDN: true\n      subdomain: s\n      containers:"
        )
    );
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  selector: {{matchLabels: {{app: w}}}}\n  template:\n{template}"
    );
    let loaded = load(&files(&[("p", SMALL), ("c", CONFIG), ("j", &job), ("d", &deployment)])).unwrap();
    let names: Vec<String> = loaded.workloads.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["default/web", "job default/j", "deployment default/d"]);
    assert!(loaded.notes[1].starts_with("d, line 9: spec.template.spec.dnsPolicy is taken for"), "{:?}", loaded.notes);
    let Workload::Job(built) = &loaded.workloads[1] else { panic!() };
    let pod = built.pod(7, None);
    assert_eq!(pod.containers[0].process.env[0].source, EnvSource::Plain("one".to_owned()));
    assert_eq!(pod.network.hostname, "j-7.s.default.svc.cluster.local");
    let said = said_of(&[("c", CONFIG), ("j", &job.replace("name: c, key: a", "name: c, key: z"))]);
    assert!(said.starts_with("j, line 15: spec.template.spec.containers[0].env[0].valueFrom"), "{said}");
    assert_eq!(explain(&files(&[("c", CONFIG), ("d", &deployment)])).unwrap()[1].kind, "Deployment");
}

#[test]
fn mistakes_of_several_files_name_the_file() {
    let of = |lines: &str| container(lines);
    for (texts, expected) in [
        (
            vec![("p.yaml", of("livnessProbe: {}").as_str()), ("c.yaml", CONFIG)],
            "p.yaml, line 8: spec.containers[0].livnessProbe",
        ),
        (
            vec![("p", SMALL), ("q", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: C}")],
            "q, line 3: metadata.name is `C`",
        ),
        (vec![("p", SMALL), ("q", "{apiVersion: v1, kind: Service}")], "q, line 1: it is a Service of apiVersion v1"),
        (
            vec![("q", "{apiVersion: v1, kind: Service}"), ("r", "{apiVersion: apps/v1, kind: DaemonSet}")],
            "\nr, line 1: it is a DaemonSet of apiVersion apps/v1",
        ),
        (vec![("p", "only words")], "p, line 1: the document has to be a map"),
        (vec![("p", SMALL), ("q", SMALL)], "q, line 3: metadata.name is `web`, as is another Pod's"),
        (
            vec![("p", SMALL), ("c", CONFIG), ("d", CONFIG)],
            "d, line 3: metadata.name is `c`, as is another ConfigMap's",
        ),
        (vec![("c", CONFIG), ("s", SECRET)], "there is no Pod in it"),
        (vec![("p", SMALL), ("q", "a: [")], "q, unclosed bracket '[' at line 1"),
        (
            vec![
                ("c", CONFIG),
                ("p", of("env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: raw}}}]").as_str()),
            ],
            "p, line 8: spec.containers[0].env[0].valueFrom.configMapKeyRef.key is `raw`, which the ConfigMap `c` does not",
        ),
        (
            vec![("c", CONFIG), ("p", of("envFrom: [{configMapRef: {name: d}}]").as_str())],
            "p, line 8: spec.containers[0].envFrom[0].configMapRef.name is `d`, and these files have no ConfigMap of that",
        ),
        (
            vec![("p", SMALL), ("s", &SECRET.replace("data: {user", "type: kubernetes.io/tls\ndata: {user"))],
            "s: type is kubernetes.io/tls, which needs the key tls.crt",
        ),
        (vec![("p", SMALL), ("s", &SECRET.replace("bWU=", "b*"))], "s, line 4: data can't be read"),
    ] {
        let expected = expected.replace("s: type", "s, line 4: type");
        let said = said_of(&texts);
        assert!(said.contains(&expected), "{expected} in: {said}");
    }
    let list = format!("kind: List\napiVersion: v1\nitems:\n- {}", SMALL.trim_end().replace('\n', "\n  "));
    assert_eq!(said_of(&[("p", &list)]), "");
}

#[test]
fn fields_without_effect_are_noted_once_and_others_refused_with_a_reason() {
    let text = SMALL.replace(
        "spec:",
        "spec:\n  nodeSelector: {disk: ssd}\n  tolerations: [{key: a/b.c, operator: Exists}]\n  affinity: {nodeAffinity: {}}\n  \
         enableServiceLinks: false\n  dnsPolicy: ClusterFirst\n  imagePullSecrets: [{name: gone}]",
    );
    let notes = load(&files(&[("", &text)])).unwrap().notes;
    assert_eq!(
        notes,
        [
            "without effect here: spec.nodeSelector, spec.tolerations, spec.affinity (only a scheduler reads it, and there is \
         one node)",
            "without effect here: spec.enableServiceLinks (there are no Services)",
            "line 9: spec.dnsPolicy is taken for Default: there is no cluster, and the node's resolv.conf counts",
            "line 10: spec.imagePullSecrets[0].name is `gone`, which these files do not have: images are pulled without it",
        ]
    );
    let wrong = text.replace("operator:", "opeartor:");
    assert!(said(&wrong).contains("line 6: spec.tolerations[0].opeartor is no field"), "{}", said(&wrong));
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (spec, expected) in [
        ("hostUsers: false\n  hostNetwork: true", "spec.hostNetwork can't be true with hostUsers: false"),
        ("hostPID: true\n  shareProcessNamespace: true", "spec.shareProcessNamespace can't stand beside hostPID"),
        ("securityContext: {runAsUser: -1}", "securityContext.runAsUser is -1; it has to be from 0"),
        ("securityContext: {sysctls: [{name: vm.swappiness, value: '1'}]}", "is `vm.swappiness`, which is the node's"),
        ("securityContext: {seccompProfile: {type: Localhost}}", "seccompProfile.localhostProfile is missing"),
        ("securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../x}}", "without `..`"),
        ("securityContext: {windowsOptions: {hostProcess: true}}", "windowsOptions can't be carried out by"),
        ("dnsPolicy: None", "spec.dnsConfig has to have nameservers"),
        ("dnsConfig: {nameservers: [x]}", "nameservers[0] is `x`; it has to be an IP address"),
        ("hostAliases: [{ip: x, hostnames: [A]}]", "hostAliases[0].ip is `x`"),
        ("setHostnameAsFQDN: true\n  subdomain: LONG", "which is longer than the 64 bytes"),
        ("os: {name: windows}", "spec.os.name is `windows`; this is linux"),
        ("volumes: [{name: v, emptyDir: {}, hostPath: {path: /x}}]", "volumes[0].hostPath stands beside emptyDir"),
        ("volumes: [{name: v, emptyDir: {medium: HugePages}}]", "does not mount: use Memory"),
        ("volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]", "there is no API server"),
        (
            "volumes: [{name: v, downwardAPI: {items: [{path: ../x, fieldRef: {fieldPath: metadata.name}}]}}]",
            "is `../x`",
        ),
        (
            "volumes: [{name: v, downwardAPI: {items: [{path: x, fieldRef: {fieldPath: status.podIP}}]}}]",
            "is `status.podIP`",
        ),
        (
            "volumes: [{name: v, downwardAPI: {defaultMode: 512, items: []}}]",
            "defaultMode is 512; it has to be from 0 to 0777",
        ),
        ("volumes: [{name: v, emptyDir: {mode: 02000}}]", "emptyDir.mode is 1024; it has to be from 0 to 01777"),
        ("ephemeralContainers: [{name: x}]", "they are added to pods that run: use `peapod exec`"),
    ] {
        let text = SMALL.replace("spec:", &format!("spec:\n  {}", spec.replace("LONG", &"l".repeat(60))));
        let said = said(&text);
        assert!(said.contains(expected), "{spec}: {said}");
    }
    for (lines, expected) in [
        ("securityContext: {runAsNonRoot: true, runAsUser: 0}", "runAsUser is 0, and runAsNonRoot refuses root"),
        ("securityContext: {privileged: true, allowPrivilegeEscalation: false}", "can't be false where privileged"),
        ("securityContext: {procMount: Unmasked}", "allows with spec.hostUsers: false alone"),
        ("resources: {limits: {cpu: 1x}}", "limits.cpu is `1x`; it has to be a quantity"),
        ("resources: {limits: {memory: 1Gi}, requests: {memory: 2Gi}}", "which is more than the limit of 1073741824"),
        ("resources: {requests: {hugepages-2Mi: 2Mi}}", "hugepages-2Mi needs an equal limit"),
        (
            "resources: {limits: {example.com/gpu: 1}}",
            "limits.example.com/gpu can't be carried out by `peapod run`: such",
        ),
        ("resources: {limits: {disk: 1}}", "limits.disk is not supported"),
        ("volumeDevices: [{name: v, devicePath: /dev/x}]", "volumeDevices can't be carried out"),
        ("env: [{name: A, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", "stands beside value"),
        ("env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.labels}}}]", "is `metadata.labels`; it can be"),
        ("env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1Mi}}}]", "divisor is `1Mi`"),
        (
            "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, containerName: z}}}]",
            "containerName is none",
        ),
        ("env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: f, key: k}}}]", "volumeName is no emptyDir"),
        ("ports: [{name: a, containerPort: 1}, {name: a, containerPort: 2}]", "ports[1].name is `a`, as is another"),
        ("ports: [{name: '80', containerPort: 1}]", "ports[0].name is `80`"),
        ("terminationMessagePath: log", "terminationMessagePath is `log`; it has to be absolute"),
    ] {
        let said = said(&container(lines));
        assert!(said.contains(expected), "{lines}: {said}");
    }
    for (fields, expected) in [
        ("subPath: ../x", "subPath is `../x`; it has to be a path in the volume"),
        ("subPath: a, subPathExpr: b", "subPathExpr stands beside subPath"),
        ("mountPropagation: Bidirectional", "which only a privileged container may"),
        ("recursiveReadOnly: Enabled", "recursiveReadOnly needs readOnly: true"),
    ] {
        let text = container(&format!("volumeMounts: [{{name: v, mountPath: /v, {fields}}}]"));
        let said = said(&text.replace("spec:", "spec:\n  volumes: [{name: v}]"));
        assert!(said.contains(expected), "{fields}: {said}");
    }
}

#[test]
fn every_field_is_explained() {
    let text = SMALL.replace("spec:", "spec:\n  priority: 7\n  volumes: [{name: v, emptyDir: {}}]");
    let explained = explain(&files(&[("", &text)])).unwrap();
    let lines: Vec<_> =
        explained[0].fields.iter().map(|field| (field.line, field.path.as_str(), field.effect.as_str())).collect();
    assert_eq!(
        lines,
        [
            (1, "apiVersion", "the version of the format"),
            (2, "kind", "what the document is"),
            (3, "metadata.name", "the name"),
            (5, "spec.priority", "without effect: only a scheduler reads it, and there is one node"),
            (6, "spec.volumes[0].name", "the volume's name"),
            (6, "spec.volumes[0].emptyDir", "a folder of the pod's own"),
            (8, "spec.containers[0].name", "the container's name"),
            (8, "spec.containers[0].image", "the image that it runs"),
        ]
    );
    assert!(explain(&files(&[("", &text.replace("priority", "prioritty"))])).is_err());
}

/// What stands in a table says what it does.
#[test]
fn no_field_is_without_words() {
    fn walk(path: &str, shape: &effect::Schema) {
        match shape {
            effect::Schema::Map(fields) => {
                for field in *fields {
                    let path = format!("{path}.{}", field.name);
                    let leaf =
                        |shape: &effect::Schema| !matches!(shape, effect::Schema::Map(fields) if !fields.is_empty());
                    let is_leaf = match &field.shape {
                        effect::Schema::List(item) => leaf(item),
                        shape => leaf(shape),
                    };
                    assert!(!is_leaf || field.effect != effect::Effect::Does(""), "{path}");
                    walk(&path, &field.shape);
                }
            }
            effect::Schema::List(item) => walk(path, item),
            _ => {}
        }
    }
    for schema in [
        &schema::POD,
        &workload_schema::JOB,
        &workload_schema::DEPLOYMENT,
        &object_schema::CONFIG_MAP,
        &object_schema::SECRET,
        &object_schema::PERSISTENT_VOLUME_CLAIM,
    ] {
        walk("", schema);
    }
}

#[test]
fn an_annotation_is_as_good_as_the_field_that_it_was_before() {
    let with = |value: &str| {
        let annotation = format!("{{container.apparmor.security.beta.kubernetes.io/a: {value}}}");
        SMALL.replace("{name: web}", &format!("{{name: web, annotations: {annotation}}}"))
    };
    let of = |text: &str| read(text).unwrap().containers[0].security.apparmor.clone();
    assert_eq!(of(&with("localhost/mine")), Some(GivenProfile::Localhost("mine".into())));
    assert_eq!(of(&with("runtime/default")), Some(GivenProfile::RuntimeDefault));
    let field = "name: a, securityContext: {appArmorProfile: {type: Unconfined}}";
    assert_eq!(of(&with("localhost/mine").replace("name: a,", &format!("{field},"))), Some(GivenProfile::Unconfined));
    assert!(
        said(&with("mine")).contains("line 3: metadata.annotations has container.apparmor"),
        "{}",
        said(&with("mine"))
    );
}
