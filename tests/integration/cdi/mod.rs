//! Devices by CDI name, whose files are in folders of the test's own, and what a container may do with devices.

mod access;
mod links;
mod refusals;

use std::fs;
use std::path::{Path, PathBuf};

use peapod_tests::{
    Container, ContainerBuilder, Daemon, Options, SHELL, fixture, on_each_runtime_with, peapod_with, v1, wait_for,
};
use serde_json::json;

/// Two folders, of which the second wins.
struct Folders {
    dir: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        Self { dir }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    fn options(&self) -> Options {
        let dirs = [self.path("etc"), self.path("run")];
        Options::new().set(format!("cdi.spec_dirs={dirs:?}"))
    }

    /// Writes a file with one device `example.com/test=NAME`.
    fn write(&self, file: &str, name: &str, edits: &serde_json::Value) {
        let content = json!({
            "cdiVersion": "0.7.0", "kind": "example.com/test", "devices": [{"name": name, "containerEdits": edits}]
        });
        fs::write(self.path(file), content.to_string()).unwrap();
    }
}

fn with<'a>(container: ContainerBuilder<'a>, names: &[&str]) -> ContainerBuilder<'a> {
    let devices = names.iter().map(|name| v1::CdiDevice { name: format!("example.com/test={name}") });
    container.config(|config| config.cdi_devices.extend(devices))
}

/// In YAML, as drivers write it.
fn all_kinds(folders: &Folders) -> String {
    let at = |name: &str| folders.path(name).display().to_string();
    let (given, created, stopped) = (at("given"), at("created"), at("stopped"));
    format!(
        "---\ncdiVersion: \"0.7.0\"\nkind: example.com/test\ncontainerEdits:\n  env: [COMMON=yes, MODE=file]\ndevices:\n\
         - name: all\n  containerEdits:\n    env:\n    - ALL=1\n    - MODE=device\n    deviceNodes:\n    \
         - path: /dev/mine\n      hostPath: /dev/null\n      permissions: rw\n      fileMode: 0640\n      gid: 4242\n    \
         - path: /dev/made\n      type: c\n      major: 1\n      minor: 5\n    \
         mounts:\n    - hostPath: {given}\n      containerPath: /given\n      options: [ro, nosuid, nodev, rbind]\n    \
         - hostPath: tmpfs\n      containerPath: /fresh\n      type: tmpfs\n      options: [size=1m]\n    \
         hooks:\n    - hookName: createRuntime\n      path: /bin/sh\n      args: [sh, -c, 'cat >>\"$TO\"']\n      \
         env: ['TO={created}', 'PATH=/usr/bin:/bin']\n      timeout: 30\n    \
         - hookName: poststop\n      path: /bin/sh\n      args: [sh, -c, 'echo stopped >>\"$TO\"']\n      \
         env: ['TO={stopped}', 'PATH=/usr/bin:/bin']\n    additionalGids: [4242, 0]\n- name: other\n  containerEdits:\n    env: [OTHER=2]\n"
    )
}

/// What a container has of the device `all`.
async fn assert_given(container: &Container<'_>) {
    let found = container
        .exec(
            "echo $COMMON $ALL $MODE $OTHER; cat /given; stat -c '%a %g %t:%T' /dev/mine; echo x >/dev/mine
             head -c 2 /dev/made | od -An -tx1; stat -f -c %T /fresh; touch /given 2>/dev/null || echo read-only; id -G",
        )
        .await;
    let lines: Vec<&str> = found.lines().collect();
    let wanted = ["yes 1 device 2", "from the node", "640 4242 1:3", " 00 00", "tmpfs", "read-only", "0 4242"];
    assert_eq!(lines, wanted);
}

#[test]
fn a_device_brings_all_that_its_file_says() {
    let folders = Folders::new();
    fs::write(folders.path("given"), "from the node\n").unwrap();
    fs::write(folders.path("etc/a.yaml"), all_kinds(&folders)).unwrap();
    on_each_runtime_with(&folders.options(), async |daemon| {
        for file in ["created", "stopped"] {
            let _ = fs::remove_file(folders.path(file));
        }
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("devices").run().await;
        // By field and by annotation, twice.
        let names = "example.com/test=other,example.com/test=all".to_owned();
        let main = with(pod.container("main").sh("exec sleep 1000").env("MODE", "client"), &["all"])
            .config(|config| drop(config.annotations.insert("cdi.k8s.io/plugin".to_owned(), names)))
            .start()
            .await;
        assert_given(&main).await;
        assert_eq!(main.exec("tr '\\0' '\\n' </proc/$$/environ | grep -c ^MODE=").await, "1\n");
        let user = main.status().await.user.unwrap().linux.unwrap();
        assert!(user.supplemental_groups.contains(&4242), "{user:?}");
        let state = fs::read_to_string(folders.path("created")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).expect("one hook, once");
        assert_eq!(state["id"], main.id.as_str());
        assert!(!folders.path("stopped").exists());
        main.stop(0).await.unwrap();
        main.remove().await.unwrap();
        wait_for("the hook after the end", async || folders.path("stopped").exists()).await;
        // A pod's annotations are its author's, and give nothing.
        let named = daemon.pod("named").config(|config| {
            config.annotations.insert("cdi.k8s.io/plugin".to_owned(), "example.com/test=all".to_owned());
        });
        let nothing = named.run().await.container("main").sh("echo $ALL; ls /dev/mine 2>&1; true").output().await;
        assert!(nothing.contains("No such file"), "{nothing}");
    });
}

#[test]
fn a_change_is_seen_by_the_next_container() {
    let folders = Folders::new();
    peapod_with(&folders.options(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("change").run().await;
        let env = |value: &str| json!({ "env": [format!("A={value}")] });
        let said = async |name: &str| with(pod.container(name).sh("echo $A"), &["a"]).output().await;
        folders.write("etc/a.json", "a", &env("1"));
        let early = with(pod.container("early").sh("echo $A"), &["a"]).create().await;
        // In place, at once, of the same length.
        folders.write("etc/a.json", "a", &env("2"));
        assert_eq!(said("second").await, "2\n");
        fs::create_dir(folders.path("run")).unwrap();
        folders.write("run/a.json", "a", &env("3"));
        assert_eq!(said("third").await, "3\n");
        fs::remove_file(folders.path("run/a.json")).unwrap();
        fs::remove_dir(folders.path("run")).unwrap();
        assert_eq!(said("fourth").await, "2\n");
        // What was made stays as it was made.
        fs::remove_file(folders.path("etc/a.json")).unwrap();
        early.start().await.unwrap();
        early.wait_exit().await;
        assert_eq!(early.stdout(), "1\n");
    });
}

#[test]
fn devices_outlive_the_daemon() {
    let folders = Folders::new();
    fs::write(folders.path("given"), "from the node\n").unwrap();
    fs::write(folders.path("etc/a.yaml"), all_kinds(&folders)).unwrap();
    on_each_runtime_with(&folders.options(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("outlive").run().await;
        let device = |name: &str| with(pod.container(name).sh("exec sleep 1000"), &["all", "other"]);
        let running = device("running").start().await;
        let created = device("created").create().await;
        daemon.kill().await;
        daemon.start_again().await;
        assert_given(&running).await;
        created.start().await.unwrap();
        assert_given(&created).await;
        assert_given(&device("new").start().await).await;
    });
}

async fn ask(daemon: &Daemon, arguments: &[&str]) -> (bool, String) {
    let output = daemon.client(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn what_can_be_had_is_listed() {
    let folders = Folders::new();
    peapod_with(&folders.options(), async |daemon| {
        folders.write("etc/a.json", "a", &json!({ "env": ["A=1"] }));
        let (works, text) = ask(daemon, &["check", "devices"]).await;
        assert!(works && text.contains("example.com/test=a"), "{text}");
        folders.write("etc/b.json", "a", &json!({ "env": ["A=1"] }));
        fs::write(folders.path("etc/c.yaml"), "cdiVersion: 9.9.9\nkind: v/c\ndevices: []\n").unwrap();
        let (works, text) = ask(daemon, &["check", "devices"]).await;
        assert!(!works && text.contains("both describe it") && text.contains("c.yaml: cdiVersion \"9.9.9\""), "{text}");
        // What is asked most often is short, and nothing about devices.
        let status = |verbose| v1::StatusRequest { verbose };
        let told = daemon.runtime().status(status(true)).await.unwrap().into_inner();
        assert!(told.info["cdi"].contains("\"specDirs\""), "{}", told.info["cdi"]);
        assert!(daemon.runtime().status(status(false)).await.unwrap().into_inner().info.is_empty());
    });
}

#[test]
fn a_pod_that_is_run_here_names_devices_in_its_annotations() {
    let folders = Folders::new();
    folders.write("etc/a.json", "a", &json!({ "env": ["A=given"] }));
    peapod_with(&folders.options(), async |daemon| {
        let file = daemon.path("pod.yaml");
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: device\n  annotations: {{cdi.k8s.io/mine: example.com/test=a}}\n\
             spec:\n  restartPolicy: Never\n  containers:\n  - name: main\n    image: {}\n    command: [sh, -c, 'echo A is $A']\n",
            fixture(SHELL)
        );
        fs::write(&file, manifest).unwrap();
        let (works, text) = ask(daemon, &["run", file.to_str().unwrap()]).await;
        assert!(works && text.contains("A is given"), "{text}");
    });
}
