//! Lives of containers as users write them.

use std::time::Duration;

use peapod_api::v1::Signal;

use super::*;

const HEAD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n";

/// What is said about a Pod whose one container has these further lines.
fn said(lines: &str) -> String {
    let text = format!("{HEAD}  containers:\n  - name: a\n    image: x\n    {}\n", lines.replace('\n', "\n    "));
    read(&text).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_whole_life_arrives() {
    let text = format!(
        "{HEAD}  activeDeadlineSeconds: 60
  initContainers: [{{name: s, image: x, restartPolicy: Always}}]
  containers:
  - name: a
    image: x
    ports: [{{name: web, containerPort: 8080}}]
    startupProbe: {{httpGet: {{port: web, scheme: HTTPS, httpHeaders: [{{name: Host, value: x}}]}}, failureThreshold: 30}}
    readinessProbe: {{tcpSocket: {{port: 8080, host: 127.0.0.1}}, successThreshold: 2, initialDelaySeconds: 5}}
    livenessProbe: {{grpc: {{port: 9090, service: s}}, periodSeconds: 3, timeoutSeconds: 2, terminationGracePeriodSeconds: 4}}
    lifecycle:
      postStart: {{exec: {{command: [echo, hi]}}}}
      preStop: {{sleep: {{seconds: 5}}}}
      stopSignal: SIGRTMIN+3
    restartPolicy: OnFailure
    restartPolicyRules: [{{action: Restart, exitCodes: {{operator: NotIn, values: [1, 2]}}}}]
    terminationMessagePolicy: FallbackToLogsOnError
"
    );
    let pod = read(&text).unwrap();
    assert_eq!(pod.active_deadline, Some(60));
    assert_eq!(pod.init_containers[0].life.restart, Some(RestartPolicy::Always));
    let life = &pod.containers[0].life;
    let headers = vec![("Host".to_owned(), "x".to_owned())];
    let get = HttpGet { tls: true, host: None, port: 8080, path: "/".into(), headers };
    let startup = life.startup.as_ref().unwrap();
    assert_eq!((&startup.handler, startup.failure_threshold), (&ProbeHandler::HttpGet(get), 30));
    assert_eq!((startup.period, startup.timeout), (Duration::from_secs(10), Duration::from_secs(1)));
    let readiness = life.readiness.as_ref().unwrap();
    assert_eq!(readiness.handler, ProbeHandler::TcpSocket { host: Some("127.0.0.1".into()), port: 8080 });
    assert_eq!((readiness.success_threshold, readiness.initial_delay.as_secs()), (2, 5));
    let liveness = life.liveness.as_ref().unwrap();
    assert_eq!(liveness.handler, ProbeHandler::Grpc { port: 9090, service: "s".into() });
    assert_eq!(liveness.grace_seconds, Some(4));
    assert_eq!(life.post_start, Some(LifecycleHook::Exec(vec!["echo".into(), "hi".into()])));
    assert_eq!(life.pre_stop, Some(LifecycleHook::Sleep(Duration::from_secs(5))));
    assert_eq!((life.stop_signal, life.restart), (Signal::Sigrtminplus3, Some(RestartPolicy::OnFailure)));
    assert!(life.rules[0].fits(3) && !life.rules[0].fits(2));
    assert!(life.termination.or_log && life.termination.path == "/dev/termination-log");
}

#[test]
fn mistakes_say_what_a_life_may_be() {
    for (lines, expected) in [
        ("livenessProbe: {periodSeconds: 5}", "livenessProbe asks for nothing: it needs one of"),
        ("livenessProbe: {tcpSocket: {port: 1}, exec: {command: [a]}}", "asks in several ways"),
        (
            "livenessProbe: {tcpSocket: {port: web}}",
            "port is `web`, which is the name of none of the container's ports",
        ),
        ("livenessProbe: {tcpSocket: {port: 70000}}", "port is 70000; it has to be from 1 to 65535"),
        ("livenessProbe: {tcpSocket: {port: [1]}}", "has to be a port: its number, or its name"),
        (
            "livenessProbe: {tcpSocket: {port: 1}, successThreshold: 2}",
            "successThreshold has to be 1 but for readiness",
        ),
        ("livenessProbe: {tcpSocket: {port: 1}, periodSeconds: -1}", "periodSeconds is -1; it has to be 1 or more"),
        ("livenessProbe: {exec: {command: []}}", "exec.command is missing"),
        ("livenessProbe: {grpc: {port: 1, mode: TLS}}", "grpc.mode is not supported"),
        ("livenessProbe: {httpGet: {port: 1, scheme: ftp}}", "scheme is `ftp`; it can be HTTP, HTTPS"),
        ("livenessProbe: {httpGet: {port: 1, path: 'a b'}}", "path is `/a b`, which can't be asked for"),
        ("livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: 'a b', value: c}]}}", "HTTP has no such names"),
        (
            "readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 5}",
            "is for probes that end a container, which this one does not",
        ),
        ("lifecycle: {preStop: {tcpSocket: {port: 1}}}", "is no hook that a kubelet carries out"),
        ("lifecycle: {preStop: {exec: {command: [a]}, sleep: {seconds: 1}}}", "preStop does several things"),
        ("lifecycle: {postStart: {sleep: {seconds: -1}}}", "seconds is -1; it has to be 0 or more"),
        ("lifecycle: {stopSignal: TERM}", "stopSignal is `TERM`; it has to be a signal of Linux"),
        ("restartPolicy: Sometimes", "restartPolicy is `Sometimes`; it can be Always, OnFailure, Never"),
        (
            "restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]",
            "restartPolicyRules needs a restartPolicy beside it",
        ),
        (
            "restartPolicy: Never\nrestartPolicyRules: [{action: Stop, exitCodes: {operator: In, values: []}}]",
            "action is `Stop`; it can be Restart, RestartAllContainers",
        ),
        ("terminationMessagePolicy: Log", "terminationMessagePolicy is `Log`; it can be File, FallbackToLogsOnError"),
    ] {
        let said = said(lines);
        assert!(said.contains(expected), "{lines}: {said}");
    }
    let init = format!(
        "{HEAD}  activeDeadlineSeconds: 0
  initContainers: [{{name: i, image: x, livenessProbe: {{tcpSocket: {{port: 1}}}}}}]
  containers: [{{name: a, image: x}}]\n"
    );
    let said = read(&init).unwrap_err().to_string();
    assert!(
        said.contains("initContainers[0].livenessProbe is for init containers with restartPolicy Always"),
        "{said}"
    );
    assert!(said.contains("line 5: spec.activeDeadlineSeconds is 0; it has to be 1 to 4294967295 seconds"), "{said}");
}
