//! The life of a pod under `peapod run`: sidecars, probes, hooks, restarts, deadlines, last words.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{Daemon, SHELL, at_most, fixture, peapod, v1, wait_for};
use tokio::process::Child;

/// Longer than any pod here lives.
const LIMIT: Duration = Duration::from_secs(90);

fn run(daemon: &Daemon, spec: &str) -> Child {
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: pea}}\nspec:\n{spec}")
        .replace("IMAGE", &fixture(SHELL))
        .replace("TRACE", &daemon.path("trace").display().to_string());
    let path = daemon.path("pod.yaml");
    std::fs::write(&path, text).unwrap();
    daemon.client(&["run", &path.to_string_lossy()]).spawn().unwrap()
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), Signal::SIGINT).unwrap();
}

async fn end(child: Child) -> (i32, String) {
    let ended = tokio::time::timeout(at_most(LIMIT), child.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.code().unwrap_or(-1), format!("{}{}", text(&ended.stdout), text(&ended.stderr)))
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What `peapod run` says of its pod.
fn status(daemon: &Daemon) -> serde_json::Value {
    let dirs = std::fs::read_dir(daemon.path("run-dir")).into_iter().flatten().flatten();
    let text = dirs.filter_map(|dir| std::fs::read_to_string(dir.path().join("status.json")).ok()).next();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

#[test]
fn an_unhealthy_container_is_started_again_between_its_sidecar_and_its_hooks() {
    peapod(async |daemon| {
        let spec = "  terminationGracePeriodSeconds: 30
  volumes: [{name: t, hostPath: {path: TRACE, type: DirectoryOrCreate}}]
  initContainers:
  - name: proxy
    image: IMAGE
    restartPolicy: Always
    command: [sh, -c, 'trap \"echo proxy ended >>/t/order; exit 0\" TERM; mkdir -p /tmp/www; echo ok >/tmp/www/up; httpd -p 8080 -h /tmp/www; while :; do sleep 0.1; done']
    ports: [{name: http, containerPort: 8080}]
    startupProbe: {httpGet: {path: /up, port: http}, periodSeconds: 1, failureThreshold: 30}
    volumeMounts: [{name: t, mountPath: /t}]
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, 'trap \"echo main ended >>/t/order; exit 0\" TERM; if [ -e /t/starts ]; then touch /t/healthy; fi; echo start >>/t/starts; while :; do sleep 0.1; done']
    livenessProbe: {exec: {command: [test, -e, /t/healthy]}, periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 10}
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
    lifecycle:
      postStart: {exec: {command: [sh, -c, 'echo postStart >>/t/order']}}
      preStop: {exec: {command: [sh, -c, 'echo preStop >>/t/order']}}
    volumeMounts: [{name: t, mountPath: /t}]
";
        let trace = daemon.path("trace");
        let child = run(daemon, spec);
        wait_for("the container is started again", async || lines(&trace.join("starts")).len() == 2).await;
        wait_for("the pod is ready", async || {
            let status = status(daemon);
            status["ready"] == true && status["containers"][1]["restarts"] == 1 && trace.join("healthy").exists()
        })
        .await;
        let said = status(daemon);
        assert_eq!((&said["phase"], &said["initialized"]), (&"Running".into(), &true.into()), "{said}");
        interrupt(&child);
        let (code, said) = end(child).await;
        assert_eq!(code, 130, "{said}");
        let order = ["postStart", "preStop", "main ended", "postStart", "preStop", "main ended", "proxy ended"];
        assert_eq!(lines(&trace.join("order")), order, "{said}");
        assert!(said.contains("main is not healthy, stopping it, to be started again; its liveness probe"), "{said}");
        assert!(said.contains("sandbox ") && said.contains(" · network ") && said.contains(" · ready "), "{said}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn a_deadline_ends_the_pod() {
    peapod(async |daemon| {
        let spec = "  activeDeadlineSeconds: 2
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: IMAGE, command: [sh, -c, 'exec sleep 1000']}
";
        let (code, said) = end(run(daemon, spec)).await;
        assert_eq!(code, 124, "{said}");
        assert!(said.contains("activeDeadlineSeconds"), "{said}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn rules_decide_about_restarts_and_last_words_are_told() {
    peapod(async |daemon| {
        let spec = "  restartPolicy: Never
  volumes: [{name: t, emptyDir: {}}]
  initContainers:
  - {name: init, image: IMAGE, command: [sh, -c, 'echo i >>/t/inits'], volumeMounts: [{name: t, mountPath: /t}]}
  containers:
  - name: main
    image: IMAGE
    restartPolicy: Never
    restartPolicyRules:
    - {action: Restart, exitCodes: {operator: In, values: [42]}}
    - {action: RestartAllContainers, exitCodes: {operator: In, values: [43]}}
    terminationMessagePath: /last
    command: [sh, -c, 'echo s >>/t/starts; case $(wc -l </t/starts) in 1) exit 42 ;; 2) exit 43 ;; esac; echo inits $(wc -l </t/inits); echo no room left >/last; exit 3']
    volumeMounts: [{name: t, mountPath: /t}]
  - name: other
    image: IMAGE
    terminationMessagePolicy: FallbackToLogsOnError
    command: [sh, -c, 'while [ \"$(wc -l </t/starts)\" != 3 ]; do sleep 0.1; done; echo all lost; exit 4']
    volumeMounts: [{name: t, mountPath: /t}]
";
        let (code, said) = end(run(daemon, spec)).await;
        assert!(code == 3 || code == 4, "{code}: {said}");
        assert!(said.contains("main ended with 42; starting it again"), "{said}");
        assert!(said.contains("main ended with 43; starting all containers again"), "{said}");
        assert!(said.contains("inits 2"), "{said}");
        assert!(said.contains("main ended with 3, and left the message: no room left"), "{said}");
        assert!(said.contains("other ended with 4, and left the message: all lost"), "{said}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn the_wished_signal_stops_a_container() {
    peapod(async |daemon| {
        let spec = "  volumes: [{name: t, hostPath: {path: TRACE, type: DirectoryOrCreate}}]
  containers:
  - name: main
    image: IMAGE
    lifecycle: {stopSignal: SIGUSR1}
    command: [sh, -c, 'trap \"echo by USR1; exit 7\" USR1; echo up >/t/up; while :; do sleep 0.1; done']
    volumeMounts: [{name: t, mountPath: /t}]
";
        let child = run(daemon, spec);
        wait_for("the container runs", async || daemon.path("trace").join("up").exists()).await;
        interrupt(&child);
        let (code, said) = end(child).await;
        assert_eq!(code, 130, "{said}");
        assert!(said.contains("by USR1") && !said.contains("does not carry out"), "{said}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn a_stop_from_elsewhere_has_its_hooks() {
    peapod(async |daemon| {
        let spec = "  volumes: [{name: t, hostPath: {path: TRACE, type: DirectoryOrCreate}}]
  containers:
  - name: main
    image: IMAGE
    lifecycle: {preStop: {exec: {command: [sh, -c, 'echo hook >>/t/order']}}}
    command: [sh, -c, 'trap \"echo main >>/t/order; exit 0\" TERM; echo up >/t/up; while :; do sleep 0.1; done']
    volumeMounts: [{name: t, mountPath: /t}]
";
        let trace = daemon.path("trace");
        let child = run(daemon, spec);
        wait_for("the container runs", async || trace.join("up").exists()).await;
        let stopped = daemon.client(&["stop", "pea"]).output().await.unwrap();
        assert!(stopped.status.success(), "{stopped:?}");
        assert_eq!(lines(&trace.join("order")), ["hook", "main"]);
        let (code, said) = end(child).await;
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("stopped by somebody else"), "{said}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn a_pod_goes_on_under_a_killed_daemon() {
    peapod(async |daemon| {
        let spec = "  restartPolicy: OnFailure
  volumes: [{name: t, hostPath: {path: TRACE, type: DirectoryOrCreate}}]
  containers:
  - name: main
    image: IMAGE
    livenessProbe: {exec: {command: ['true']}, periodSeconds: 1, timeoutSeconds: 10}
    command: [sh, -c, 'echo up >>/t/starts; while [ ! -e /t/end ]; do sleep 0.1; done; exit 5']
    volumeMounts: [{name: t, mountPath: /t}]
";
        let trace = daemon.path("trace");
        let child = run(daemon, spec);
        wait_for("the pod is ready", async || status(daemon)["ready"] == true).await;
        daemon.kill().await;
        daemon.start_again().await;
        std::fs::write(trace.join("end"), "").unwrap();
        wait_for("the end is seen", async || lines(&trace.join("starts")).len() == 2).await;
        interrupt(&child);
        let (code, said) = end(child).await;
        assert_eq!(code, 130, "{said}");
        assert!(said.contains("main ended with 5; starting it again now"), "{said}");
        assert!(daemon.pods().await.is_empty());
    });
}

/// Each call's answer is lost: the daemon dies when the work is done, or half done.
#[test]
fn a_daemon_that_dies_in_a_start_makes_no_second_container() {
    peapod(async |daemon| {
        let spec = "  restartPolicy: Never
  volumes: [{name: t, hostPath: {path: TRACE, type: DirectoryOrCreate}}]
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, 'echo up >>/t/starts; while [ ! -e /t/end ]; do sleep 0.1; done']
    volumeMounts: [{name: t, mountPath: /t}]
";
        let trace = daemon.path("trace");
        for stage in ["container-kept", "start-created", "start-started"] {
            daemon.kill().await;
            daemon.start_again_to_die_at(stage).await;
            let child = run(daemon, spec);
            wait_for("the daemon dies", async || !daemon.is_alive()).await;
            daemon.start_again().await;
            wait_for("the pod is ready", async || status(daemon)["ready"] == true).await;
            let containers = daemon.containers().await;
            assert_eq!(containers.len(), 1, "{stage}: {containers:?}");
            std::fs::write(trace.join("end"), "").unwrap();
            let (code, said) = end(child).await;
            assert_eq!((code, lines(&trace.join("starts")).len()), (0, 1), "{stage}: {said}");
            assert!(daemon.pods().await.is_empty(), "{stage}: {said}");
            for file in ["starts", "end"] {
                std::fs::remove_file(trace.join(file)).unwrap();
            }
        }
    });
}

#[test]
fn a_job_makes_pods_until_enough_have_ended_well() {
    peapod(async |daemon| {
        let text = "apiVersion: batch/v1
kind: Job
metadata: {name: sums}
spec:
  completions: 3
  parallelism: 2
  completionMode: Indexed
  backoffLimit: 2
  template:
    spec:
      restartPolicy: Never
      volumes: [{name: t, hostPath: {path: TRACE, type: DirectoryOrCreate}}]
      containers:
      - name: sum
        image: IMAGE
        command: [sh, -c, 'echo $(hostname) $JOB_COMPLETION_INDEX >>/t/done']
        volumeMounts: [{name: t, mountPath: /t}]
"
        .replace("IMAGE", &fixture(SHELL))
        .replace("TRACE", &daemon.path("trace").display().to_string());
        let path = daemon.path("job.yaml");
        std::fs::write(&path, text).unwrap();
        let child = daemon.client(&["run", &path.to_string_lossy()]).spawn().unwrap();
        let (code, said) = end(child).await;
        assert_eq!(code, 0, "{said}");
        let mut done = lines(&daemon.path("trace").join("done"));
        done.sort();
        assert_eq!(done, ["sums-0 0", "sums-1 1", "sums-2 2"], "{said}");
        assert!(said.contains("job sums is over"), "{said}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn a_deployment_keeps_its_pods() {
    peapod(async |daemon| {
        let text = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - {name: main, image: IMAGE, command: [sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 0.1; done']}
"
        .replace("IMAGE", &fixture(SHELL));
        let path = daemon.path("deployment.yaml");
        std::fs::write(&path, text).unwrap();
        let child = daemon.client(&["run", &path.to_string_lossy()]).spawn().unwrap();
        let uids = async || {
            let ready = v1::PodSandboxState::SandboxReady;
            let pods = daemon.pods().await.into_iter().filter(|pod| pod.state() == ready);
            pods.filter_map(|pod| pod.metadata).collect::<Vec<_>>()
        };
        wait_for("both pods are there", async || uids().await.len() == 2).await;
        let first = uids().await.remove(0);
        let stopped = daemon.client(&["stop", &first.name]).output().await.unwrap();
        assert!(stopped.status.success(), "{stopped:?}");
        wait_for("it is made anew", async || {
            let pods = uids().await;
            pods.len() == 2 && pods.iter().any(|pod| pod.name == first.name && pod.uid != first.uid)
        })
        .await;
        interrupt(&child);
        let (code, said) = end(child).await;
        assert_eq!(code, 130, "{said}");
        assert!(daemon.pods().await.is_empty());
    });
}
