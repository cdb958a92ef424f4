//! `peapod run` and the commands beside it, on the real daemon.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{Daemon, SHELL, at_most, client, end, fixture, peapod, wait_for};
use tokio::process::Child;

fn manifest(daemon: &Daemon, spec: &str) -> String {
    let text =
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: pea}}\nspec:\n{spec}").replace("IMAGE", &fixture(SHELL));
    let path = daemon.path("pod.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn run(daemon: &Daemon, spec: &str) -> Child {
    let file = manifest(daemon, spec);
    daemon.client(&["run", &file]).spawn().unwrap()
}

#[test]
fn a_pod_runs_to_its_end() {
    peapod(async |daemon| {
        let spec = "  restartPolicy: Never
  shareProcessNamespace: true
  volumes: [{name: shared, emptyDir: {}}]
  containers:
  - {name: writer, image: IMAGE, command: [sh, -c, 'echo from $NAME; echo word >/shared/word'], env: [{name: NAME, value: writer}], volumeMounts: [{name: shared, mountPath: /shared}]}
  - {name: reader, image: IMAGE, command: [sh, -c, 'while [ ! -e /shared/word ]; do sleep 0.05; done; cat /shared/word; echo loud >&2; exit 3'], volumeMounts: [{name: shared, mountPath: /shared}]}
";
        let (code, out, err) = end(run(daemon, spec)).await;
        assert_eq!(code, 3, "{out}{err}");
        let all = format!("{out}{err}");
        for (name, text) in [("writer", "from writer"), ("reader", "word"), ("reader", "loud")] {
            assert!(
                all.lines().any(|line| line.contains(name) && line.contains(text)),
                "no line of {name} with {text}:\n{all}"
            );
        }
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn the_first_signal_stops_with_grace_and_the_second_at_once() {
    peapod(async |daemon| {
        let spec = "  terminationGracePeriodSeconds: 45
  containers:
  - {name: main, image: IMAGE, command: [sh, -c, 'trap \"echo bye\" TERM; echo up; while :; do sleep 0.1; done']}
";
        let child = run(daemon, spec);
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        wait_for("the container runs", async || client(daemon, &["logs", "pea"]).await.1.contains("up")).await;
        kill(pid, Signal::SIGINT).unwrap();
        wait_for("it is asked to end", async || client(daemon, &["logs", "pea"]).await.1.contains("bye")).await;
        kill(pid, Signal::SIGINT).unwrap();
        let (code, out, err) =
            tokio::time::timeout(at_most(Duration::from_secs(20)), end(child)).await.expect("at once");
        assert_eq!(code, 130, "{out}{err}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn what_it_does_not_support_is_refused_with_its_line() {
    peapod(async |daemon| {
        let spec = "  containers:
  - name: main
    image: IMAGE
    volumeDevices:
    - {name: disk, devicePath: /dev/x}
";
        let (code, out, err) = end(run(daemon, spec)).await;
        assert_ne!(code, 0);
        assert!(err.contains("volumeDevices") && err.contains('8'), "{out}{err}");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn the_commands_beside_it() {
    peapod(async |daemon| {
        let image = fixture(SHELL);
        let (code, _, err) = client(daemon, &["pull", &image]).await;
        assert_eq!(code, 0, "{err}");
        assert!(client(daemon, &["images"]).await.1.contains("peapod/shell"));
        let spec = "  containers:
  - {name: main, image: IMAGE, imagePullPolicy: Never, command: [sh, -c, 'echo up; exec sleep 1000']}
";
        let child = run(daemon, spec);
        wait_for("the container runs", async || client(daemon, &["logs", "pea"]).await.1.contains("up")).await;
        assert!(client(daemon, &["ps"]).await.1.contains("pea"));
        let (code, out, err) = client(daemon, &["exec", "pea", "--", "sh", "-c", "hostname; exit 4"]).await;
        assert_eq!((code, out.as_str()), (4, "pea\n"), "{err}");
        let (code, out, err) = client(daemon, &["exec", "pea", "--", "no-such-program"]).await;
        assert!(code == 127 && out.is_empty() && err.contains("no-such-program"), "{code}: {out}{err}");
        let (code, _, err) = client(daemon, &["stop", "--grace", "1", "pea"]).await;
        assert_eq!(code, 0, "{err}");
        end(child).await;
        let (_, out, _) = client(daemon, &["ps", "--all", "-o", "json"]).await;
        serde_json::from_str::<serde_json::Value>(&out).expect("ps -o json is JSON");
        // `run` may have removed it already.
        client(daemon, &["rm", "pea"]).await;
        let (code, _, err) = client(daemon, &["rmi", &image]).await;
        assert_eq!(code, 0, "{err}");
        let (code, _, err) = client(daemon, &["exec", "nobody", "--", "true"]).await;
        assert!(code != 0 && err.contains("nobody"), "{err}");
    });
}
