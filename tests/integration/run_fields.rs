//! The fields of a Pod that `peapod run` carries out, seen from inside of its containers.

use std::os::unix::fs::{MetadataExt, symlink};
use std::time::Duration;

use peapod_tests::{Daemon, SHELL, at_most, fixture, peapod};

/// Longer than any pod here lives.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs manifests by name; answers the exit status, and what was printed by containers and of them.
async fn run(daemon: &Daemon, options: &[&str], manifests: &[(&str, &str)]) -> (i32, String, String) {
    let folder = daemon.path("manifests");
    if folder.exists() {
        for old in std::fs::read_dir(&folder).unwrap() {
            std::fs::remove_file(old.unwrap().path()).unwrap();
        }
    } else {
        std::fs::create_dir(&folder).unwrap();
    }
    for (name, text) in manifests {
        std::fs::write(folder.join(name), text.replace("IMAGE", &fixture(SHELL))).unwrap();
    }
    let folder = folder.to_string_lossy().into_owned();
    let arguments: Vec<&str> = ["run"].into_iter().chain(options.iter().copied()).chain([folder.as_str()]).collect();
    let child = daemon.client(&arguments).spawn().unwrap();
    let output = tokio::time::timeout(at_most(LIMIT), child.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// What the container `main` printed, without its name.
fn of_main(out: &str) -> Vec<&str> {
    out.lines().filter_map(|line| line.split_once("| ")).map(|(_, text)| text).collect()
}

/// Nothing of any pod is left: neither a mount nor a folder, but for claims.
fn assert_nothing_left(daemon: &Daemon) {
    let base = daemon.path("run-dir");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*base.to_string_lossy()), "{mounts}");
    let left = std::fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.file_name());
    assert!(left.filter(|name| name != "claims").count() == 0, "a folder is left");
}

const OBJECTS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: green, app.conf: \"size = 3\\n\"}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {user: pea, password: hidden}
";

#[test]
fn variables_come_from_everywhere() {
    peapod(async |daemon| {
        let pod = "apiVersion: v1
kind: Pod
metadata: {name: env, labels: {app: e}, annotations: {why: because}}
spec:
  restartPolicy: Never
  volumes: [{name: handed}]
  initContainers:
  - name: first
    image: IMAGE
    command: [sh, -c, \"printf \\\"# made\\\\nTOKEN='a b'\\\\n\\\" >/handed/env\"]
    volumeMounts: [{name: handed, mountPath: /handed}]
  containers:
  - name: main
    image: IMAGE
    envFrom: [{prefix: S_, secretRef: {name: login}}]
    env:
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: TOKEN, valueFrom: {fileKeyRef: {volumeName: handed, path: env, key: TOKEN}}}
    - {name: ALL, value: \"$(S_user)@$(NAME) $(COLOUR)\"}
    resources: {limits: {memory: 64Mi, cpu: 500m}}
    command: [sh, -c]
    args: ['echo $ALL $APP $LIMIT $S_password; echo \"$TOKEN\"; echo $(NAME); test \"$IP\" = \"$(hostname -i | cut -d\" \" -f1)\" && echo same']
";
        let (code, out, err) = run(daemon, &[], &[("a.yaml", OBJECTS), ("b.yaml", pod)]).await;
        assert_eq!(code, 0, "{out}{err}");
        assert_eq!(of_main(&out), ["pea@env green e 64 hidden", "a b", "env", "same"], "{err}");
        assert_nothing_left(daemon);
    });
}

/// Its `main` tells of all of them.
const FILES: &str = "apiVersion: v1
kind: Pod
metadata: {name: files, labels: {a: one}}
spec:
  restartPolicy: Never
  securityContext: {runAsUser: 1000, runAsGroup: 1001, fsGroup: 2000, supplementalGroups: [3000]}
  volumes:
  - {name: conf, configMap: {name: settings, items: [{key: app.conf, path: etc/app.conf, mode: 0400}]}}
  - {name: secret, secret: {secretName: login, defaultMode: 0440}}
  - name: all
    projected:
      sources:
      - configMap: {name: settings}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu, divisor: 1m}}]}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: disk, emptyDir: {}}
  - {name: claim, persistentVolumeClaim: {claimName: kept}}
  - {name: host, hostPath: {path: HOST}}
  containers:
  - name: main
    image: IMAGE
    env: [{name: PART, value: deep/er}]
    resources: {limits: {cpu: 250m}}
    volumeMounts:
    - {name: conf, mountPath: /conf}
    - {name: secret, mountPath: /secret}
    - {name: all, mountPath: /all}
    - {name: memory, mountPath: /memory}
    - {name: disk, mountPath: /part, subPathExpr: $(PART)}
    - {name: disk, mountPath: /disk}
    - {name: conf, mountPath: /one, subPath: etc/app.conf}
    - {name: claim, mountPath: /claim}
    command: [sh, -c]
    args:
    - |
      id -u; id -g; echo $(id -G | tr ' ' '\\n' | sort -n)
      cat /conf/etc/app.conf /one; stat -L -c '%a %g' /conf/etc/app.conf /secret/user; readlink /secret/user
      cat /all/colour; echo; cat /all/labels; echo; cat /all/cpu; echo
      touch /conf/x 2>/dev/null || echo conf is read-only
      stat -f -c %T /memory /secret; dd if=/dev/zero of=/memory/big bs=1k count=2k 2>/dev/null || echo full
      echo part >/part/file; cat /disk/deep/er/file; stat -c '%a %g' /disk
      echo word >>/claim/words; wc -l </claim/words; stat -c %g /claim/words
";

#[test]
fn volumes_have_the_files_and_modes_that_were_asked_for() {
    peapod(async |daemon| {
        let host = daemon.path("host");
        std::fs::create_dir(&host).unwrap();
        symlink("/etc", host.join("out")).unwrap();
        let pod = FILES.replace("HOST", &host.to_string_lossy());
        let claim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: kept}, spec: {accessModes: [ReadWriteOnce]}}";
        let expected = |words: &'static str| {
            [
                "1000",
                "1001",
                "1001 2000 3000",
                "size = 3",
                "size = 3",
                "440 2000",
                "440 2000",
                "..data/user",
                "green",
                "a=\"one\"",
                "250",
                "conf is read-only",
                "tmpfs",
                "tmpfs",
                "full",
                "part",
                "2777 2000",
                words,
                "2000",
            ]
        };
        let all = [("a.yaml", OBJECTS), ("b.yaml", pod.as_str()), ("claim.json", claim)];
        let (code, out, err) = run(daemon, &[], &all).await;
        assert_eq!((code, of_main(&out)), (0, expected("1").to_vec()), "{err}");
        assert_nothing_left(daemon);
        // The claim stays, and is enough the next time.
        let (code, out, err) = run(daemon, &[], &all[..2]).await;
        assert_eq!((code, of_main(&out)), (0, expected("2").to_vec()), "{err}");
        let kept = daemon.path("run-dir").join("claims/default/kept");
        assert_eq!(std::fs::metadata(&kept).unwrap().gid(), 2000);
        let other = pod.replace("claimName: kept", "claimName: other");
        let (code, out, err) = run(daemon, &[], &[("a.yaml", OBJECTS), ("b.yaml", &other)]).await;
        assert!(code == 125 && err.contains("there is no PersistentVolumeClaim other in these files"), "{out}{err}");
        assert_nothing_left(daemon);
        // A link out of a volume is none into the node.
        let out_of = pod
            .replace("name: conf, mountPath: /one, subPath: etc/app.conf", "name: host, mountPath: /one, subPath: out");
        let (code, out, err) = run(daemon, &[], &[("a.yaml", OBJECTS), ("b.yaml", &out_of)]).await;
        assert!(code == 125 && err.contains("volume host: cannot mount its part out"), "{out}{err}");
        assert_nothing_left(daemon);
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn containers_are_who_and_what_they_may_be() {
    peapod(async |daemon| {
        let pod = "apiVersion: v1
kind: Pod
metadata: {name: may}
spec:
  restartPolicy: Never
  hostname: front
  subdomain: web
  hostAliases: [{ip: 10.1.2.3, hostnames: [elsewhere, elsewhere.example]}]
  dnsPolicy: None
  dnsConfig: {nameservers: [9.9.9.9], searches: [a.example], options: [{name: ndots, value: '2'}]}
  securityContext: {sysctls: [{name: net.ipv4.ip_local_port_range, value: '2000 3000'}]}
  containers:
  - name: main
    image: IMAGE
    resources: {requests: {memory: 16Mi}, limits: {memory: 48Mi}}
    securityContext:
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [CHOWN]}
    command: [sh, -c]
    args:
    - |
      hostname; grep front /etc/hosts | cut -f2-; tail -n1 /etc/hosts
      cat /etc/resolv.conf
      tr '\\t' ' ' </proc/sys/net/ipv4/ip_local_port_range
      touch /x 2>/dev/null || echo read-only
      grep -E '^(NoNewPrivs|CapEff)' /proc/self/status | tr '\\t' ' '
      test $(cat /proc/self/oom_score_adj) -ge 3 && test $(cat /proc/self/oom_score_adj) -lt 1000 && echo burstable
      cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null
      echo done >/dev/termination-log && stat -c %a /dev/termination-log
";
        let (code, out, err) = run(daemon, &[], &[("pod.yaml", pod)]).await;
        let expected = [
            "front",
            "front.web.default.svc.cluster.local\tfront",
            "10.1.2.3\telsewhere\telsewhere.example",
            "search a.example",
            "nameserver 9.9.9.9",
            "options ndots:2",
            "2000 3000",
            "read-only",
            "CapEff: 0000000000000001",
            "NoNewPrivs: 1",
            "burstable",
            "50331648",
            "666",
        ];
        assert_eq!((code, of_main(&out)), (0, expected.to_vec()), "{err}");
        let root = pod.replace("readOnlyRootFilesystem: true", "runAsNonRoot: true");
        let (code, out, err) = run(daemon, &[], &[("pod.yaml", &root)]).await;
        assert!(code == 125 && err.contains("its image runs as root, and runAsNonRoot refuses that"), "{out}{err}");
        let users = pod.replace("hostname: front", "hostUsers: false");
        let (code, out, err) = run(daemon, &[], &[("pod.yaml", &users)]).await;
        assert!(code == 125 && err.contains("does not do hostUsers: false (user namespaces)"), "{out}{err}");
        assert_nothing_left(daemon);
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn images_are_volumes_and_every_field_is_explained() {
    peapod(async |daemon| {
        let pod = "apiVersion: v1
kind: Pod
metadata: {name: image}
spec:
  restartPolicy: Never
  priorityClassName: high
  securityContext: {seLinuxOptions: {level: 's0:c1,c2'}}
  volumes: [{name: tools, image: {reference: IMAGE, pullPolicy: IfNotPresent}}]
  containers:
  - name: main
    image: IMAGE
    volumeMounts: [{name: tools, mountPath: /tools}, {name: tools, mountPath: /programs, subPath: bin}]
    command: [ls, -d, /tools/bin, /programs/sh]
";
        let (code, out, err) = run(daemon, &[], &[("pod.yaml", pod)]).await;
        assert_eq!((code, of_main(&out)), (0, vec!["/programs/sh", "/tools/bin"]), "{err}");
        assert_nothing_left(daemon);
        assert!(err.contains("without effect here: spec.priorityClassName (only a scheduler reads it"), "{err}");
        let has_selinux = std::path::Path::new("/sys/fs/selinux/enforce").exists();
        let said = err.contains("without effect here: seLinuxOptions of \"main\" (this node has no SELinux)");
        assert_eq!(said, !has_selinux, "{err}");
        let (code, out, err) = run(daemon, &["--explain"], &[("pod.yaml", pod)]).await;
        assert_eq!(code, 0, "{err}");
        let line = out.lines().find(|line| line.contains("image.reference")).unwrap();
        assert!(line.trim_start().starts_with("8 ") && line.ends_with("the files of this image, read-only"), "{out}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn what_a_kept_pod_has_mounted_goes_with_rm() {
    peapod(async |daemon| {
        let pod = "apiVersion: v1
kind: Pod
metadata: {name: kept}
spec:
  restartPolicy: Never
  volumes: [{name: memory, emptyDir: {medium: Memory}}, {name: host, hostPath: {path: HOST}}]
  containers:
  - name: main
    image: IMAGE
    volumeMounts: [{name: memory, mountPath: /memory}, {name: host, mountPath: /part, subPath: part}]
    command: [sh, -c, 'echo one >/memory/file; cat /part/file']
";
        let host = daemon.path("host");
        std::fs::create_dir_all(host.join("part")).unwrap();
        std::fs::write(host.join("part/file"), "the node's\n").unwrap();
        let pod = pod.replace("HOST", &host.to_string_lossy());
        let (code, out, err) = run(daemon, &["--keep"], &[("pod.yaml", &pod)]).await;
        assert_eq!((code, of_main(&out)), (0, vec!["the node's"]), "{err}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert_eq!(mounts.matches(&*daemon.path("run-dir").to_string_lossy()).count(), 2, "{mounts}");
        let removed = daemon.client(&["rm", "kept"]).output().await.unwrap();
        assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
        assert_nothing_left(daemon);
        // What was shown of the node stays.
        assert_eq!(std::fs::read_to_string(host.join("part/file")).unwrap(), "the node's\n");
    });
}
