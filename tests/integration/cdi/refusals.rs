//! Devices that can't be had: the error says why, and nothing stays.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use peapod_tests::{Daemon, Options, Pod, SHELL, peapod_with, v1};
use serde_json::json;
use tonic::{Code, Status};
use v1::NamespaceMode;

use super::{Folders, with};

async fn refused(pod: &Pod<'_>, device: &str) -> Status {
    let refused = with(pod.container("refused").sh("true"), &[device]).try_create().await;
    refused.err().unwrap_or_else(|| panic!("{device} was given"))
}

/// Refused with these words; nothing of a container is there.
async fn assert_refused(daemon: &Daemon, pod: &Pod<'_>, device: &str, words: &[&str]) {
    let refused = refused(pod, device).await;
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    for word in words.iter().chain(&["CDI_devices"]) {
        assert!(refused.message().contains(word), "{device}: no {word:?} in: {}", refused.message());
    }
    assert!(daemon.containers().await.is_empty());
    let bundles = daemon.run_root().join("pods").join(&pod.id).join("containers");
    assert_eq!(fs::read_dir(&bundles).map_or(0, Iterator::count), 0, "a bundle is left");
    let layers = daemon.state_root().join("containers");
    assert_eq!(fs::read_dir(&layers).map_or(0, Iterator::count), 0, "a layer is left");
}

#[test]
fn the_error_names_device_file_and_reason_and_nothing_stays() {
    let folders = Folders::new();
    peapod_with(&folders.options(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("refused").run().await;
        let (etc, run) = (folders.path("etc"), folders.path("run"));
        let dirs = [etc.to_str().unwrap(), run.to_str().unwrap()];
        assert_refused(daemon, &pod, "none", &["example.com/test=none", dirs[0], dirs[1]]).await;

        let env = json!({ "env": ["A=1"] });
        folders.write("etc/good.json", "good", &env);
        folders.write("etc/one.json", "twice", &env);
        folders.write("etc/two.json", "twice", &env);
        assert_refused(daemon, &pod, "twice", &["one.json", "two.json", "both describe"]).await;
        assert_refused(daemon, &pod, "goof", &["\"good\"", "\"twice\""]).await;

        fs::write(etc.join("broken.json"), "{\"cdiVersion\": \"0.7.0\", \"colour\": 1}").unwrap();
        assert_refused(daemon, &pod, "broken", &["broken.json", "unknown field `colour`"]).await;
        folders.write("etc/broken.json", "broken", &json!({ "hooks": [{"hookName": "never", "path": "/bin/true"}] }));
        assert_refused(daemon, &pod, "broken", &["broken.json", "hookName \"never\""]).await;
        folders.write("etc/broken.json", "broken", &env);
        fs::set_permissions(etc.join("broken.json"), fs::Permissions::from_mode(0o666)).unwrap();
        assert_refused(daemon, &pod, "broken", &["broken.json", "written by everybody", "chmod go-w"]).await;
        fs::remove_file(etc.join("broken.json")).unwrap();
        nix::unistd::mkfifo(&etc.join("broken.json"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        symlink("/dev/zero", etc.join("zero.yaml")).unwrap();
        assert_refused(daemon, &pod, "broken", &["broken.json: is no regular file", "zero.yaml"]).await;

        let node = |path: &str, host: &str| json!({ "deviceNodes": [{"path": path, "hostPath": host}] });
        folders.write("etc/node.json", "node", &node("/dev/mine", "/dev/not-there"));
        assert_refused(daemon, &pod, "node", &["/dev/not-there", "No such file"]).await;
        let mount = json!({ "mounts": [{"hostPath": "/not/there", "containerPath": "/mine", "options": ["bind"]}] });
        folders.write("etc/node.json", "node", &mount);
        assert_refused(daemon, &pod, "node", &["/not/there", "No such file"]).await;
        folders.write("etc/node.json", "node", &json!({ "intelRdt": {"closID": "gold"} }));
        assert_refused(daemon, &pod, "node", &["intelRdt"]).await;
        // A broken file is its own devices' alone.
        assert_eq!(with(pod.container("good").sh("echo $A"), &["good"]).output().await, "1\n");
        let odd = pod.container("odd").sh("true").config(|config| {
            config.cdi_devices.push(v1::CdiDevice { name: "gpu".to_owned() });
        });
        let odd = odd.try_create().await.err().unwrap();
        assert_eq!(odd.code(), Code::InvalidArgument, "{odd:?}");
        assert!(odd.message().contains("CDI_devices[0].name: \"gpu\""), "{odd}");
    });
}

#[test]
fn what_a_device_can_not_be_is_named() {
    let folders = Folders::new();
    peapod_with(&folders.options(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("names").run().await;
        let refused = |edits: serde_json::Value| {
            folders.write("etc/a.json", "a", &edits);
            refused(&pod, "a")
        };
        let node = |path: &str| json!({ "deviceNodes": [{"path": path, "hostPath": "/dev/zero"}] });
        for path in ["/dev/null", "/dev/pts/mine", "/proc/mine", "/bin/sh"] {
            let said = refused(node(path)).await;
            assert!(said.code() == Code::InvalidArgument && said.message().contains(path), "{said:?}");
        }
        folders.write("etc/a.json", "a", &node("/dev/mine"));
        let device = v1::Device {
            host_path: "/dev/null".to_owned(),
            container_path: "/dev/mine".to_owned(),
            permissions: "r".to_owned(),
        };
        let both = with(pod.container("both").sh("true"), &["a"]).config(|config| config.devices.push(device));
        let both = both.try_create().await.err().unwrap();
        assert!(both.message().contains("two different devices"), "{both}");
        let hook = json!({ "hooks": [{"hookName": "createRuntime", "path": "/bin/false"}] });
        folders.write("etc/a.json", "a", &hook);
        let failing = with(pod.container("hook").sh("true"), &["a"]).create().await;
        failing.start().await.expect_err("its hook fails");
        failing.remove().await.unwrap();
    });
}

#[test]
fn an_empty_list_of_folders_turns_it_off() {
    let folders = Folders::new();
    folders.write("etc/a.json", "a", &json!({ "env": ["A=1"] }));
    peapod_with(&Options::new().set("cdi.spec_dirs=[]"), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("off").run().await;
        assert_refused(daemon, &pod, "a", &["example.com/test=a", "cdi.spec_dirs", "is empty"]).await;
    });
}

#[test]
fn with_users_of_its_own_a_pod_is_shown_devices() {
    let folders = Folders::new();
    peapod_with(&folders.options().handler("runc"), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let ids = vec![v1::IdMapping { host_id: 200_000, container_id: 0, length: 65_536 }];
        let users = v1::UserNamespace { mode: NamespaceMode::Pod.into(), uids: ids.clone(), gids: ids };
        let pod = daemon.pod("users").namespaces(|options| options.userns_options = Some(users)).run().await;
        let options = pod.config.linux.clone().unwrap().security_context.unwrap().namespace_options;
        let asking = |name: &str, script: &str| {
            let container =
                pod.container(name).sh(script).security(|security| security.namespace_options = options.clone());
            with(container, &["a"])
        };
        fs::write(folders.path("given"), "from the node\n").unwrap();
        folders.write(
            "etc/a.json",
            "a",
            &json!({
                "deviceNodes": [{"path": "/dev/other", "hostPath": "/dev/zero"}, {"path": "/dev/fuse"}],
                "mounts": [{"hostPath": folders.path("given"), "containerPath": "/given", "options": ["rbind", "ro"]}],
            }),
        );
        let script = "head -c 2 /dev/other | od -An -tx1; stat -c %t:%T /dev/fuse; stat -c %u /given; cat /given";
        assert_eq!(asking("shown", script).output().await, " 00 00\na:e5\n0\nfrom the node\n");
        for (node, why) in [
            (json!({"path": "/dev/made", "type": "c", "major": 1, "minor": 5}), "users of its own"),
            (json!({"path": "/dev/zero", "gid": 7}), "its gid can't be another one"),
        ] {
            folders.write("etc/a.json", "a", &json!({ "deviceNodes": [node] }));
            let refused = asking("refused", "true").try_create().await.err().unwrap();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
            assert!(refused.message().contains(why), "{refused}");
        }
    });
}
