//! Which devices a container may open: the rules of its cgroup, on v1 and on v2.

use peapod_tests::{SHELL, on_each_runtime_with, v1};
use serde_json::json;

use super::{Folders, with};

/// What comes of opening a device of the node that the container makes itself: the number of `/dev/fuse`, which every
/// kernel that runs containers knows and which no container may open by itself.
const SCRIPT: &str = "mknod /dev/tried c 10 229 || exit
    for mode in '<' '>'; do
        if sh -c \"exec 3$mode/dev/tried\" 2>/why; then echo opened
        else grep -o 'Operation not permitted' /why || cat /why; fi
    done";

#[test]
fn only_devices_that_are_given_can_be_opened() {
    let folders = Folders::new();
    folders.write("etc/rw.json", "rw", &json!({ "deviceNodes": [{"path": "/dev/fuse", "permissions": "rwm"}] }));
    folders.write("etc/r.json", "r", &json!({ "deviceNodes": [{"path": "/dev/fuse", "permissions": "r"}] }));
    folders.write("etc/no.json", "no", &json!({ "deviceNodes": [{"path": "/dev/fuse", "permissions": "none"}] }));
    on_each_runtime_with(&folders.options(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("access").run().await;
        let denied = "Operation not permitted";
        let trying = |name: &str| pod.container(name).sh(SCRIPT);
        let requested = |permissions: &str| {
            let (host_path, permissions) = ("/dev/fuse".to_owned(), permissions.to_owned());
            v1::Device { host_path, container_path: String::new(), permissions }
        };
        let lines = |words: [&str; 2]| format!("{}\n{}\n", words[0], words[1]);
        assert_eq!(trying("plain").output().await, lines([denied, denied]));
        assert_eq!(with(trying("cdi"), &["rw"]).output().await, lines(["opened", "opened"]));
        assert_eq!(with(trying("cdi-read"), &["r"]).output().await, lines(["opened", denied]));
        assert_eq!(with(trying("cdi-none"), &["no"]).output().await, lines([denied, denied]));
        let asking =
            |name: &str, permissions: &str| trying(name).config(|config| config.devices.push(requested(permissions)));
        assert_eq!(asking("field", "rwm").output().await, lines(["opened", "opened"]));
        assert_eq!(asking("field-write", "w").output().await, lines([denied, "opened"]));
        // An update of limits leaves them as they are.
        let lasting = pod.container("lasting").sh("exec sleep 1000");
        let lasting = lasting.resources(|limits| limits.memory_limit_in_bytes = 64 << 20).start().await;
        lasting.update(|limits| limits.memory_limit_in_bytes = 65 << 20).await.unwrap();
        assert_eq!(lasting.exec(SCRIPT).await, lines([denied, denied]));
        let privileged = trying("privileged").security(|security| security.privileged = true);
        assert_eq!(privileged.output().await, lines(["opened", "opened"]));
    });
}
