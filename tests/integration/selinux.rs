//! SELinux labels. Nodes without it are nodes too: there the same requests must work, and be said to have no effect.

use peapod_tests::{ContainerBuilder, Options, Pod, on_each_runtime_with, peapod, peapod_with, v1};

fn enabled() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}

/// The label of a container's first process, and of a command in it; none without SELinux.
async fn labels(container: ContainerBuilder<'_>) -> (String, String) {
    let look = "cat /proc/self/attr/current 2>/dev/null | tr -d '\\0' || true";
    let container = container.sh(&format!("{look}; echo; echo told; exec sleep 1000")).start().await;
    container.wait_log("told").await;
    let first = container.stdout().lines().next().unwrap_or_default().to_owned();
    (first, container.exec(look).await.trim().to_owned())
}

/// Labels for all containers, which the default gives only to those that ask.
fn all() -> Options {
    Options::new().set("containers.selinux=\"all\"")
}

fn options(level: &str) -> Option<v1::SeLinuxOption> {
    Some(v1::SeLinuxOption { level: level.to_owned(), ..Default::default() })
}

fn level(label: &str) -> &str {
    label.splitn(4, ':').nth(3).unwrap_or_default()
}

/// The label of a file of the node's.
fn label_of(path: &std::path::Path) -> String {
    let output = std::process::Command::new("stat").args(["-c", "%C"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn containers_of_a_pod_have_two_categories_that_no_other_pod_has() {
    on_each_runtime_with(&all(), async |daemon| {
        let pods = [daemon.pod("one").run().await, daemon.pod("two").run().await];
        let of = async |pod: &Pod<'_>, name: &str| labels(pod.container(name)).await;
        let (first, command) = of(&pods[0], "first").await;
        assert_eq!(first, command);
        if !enabled() {
            return;
        }
        assert!(level(&first).starts_with("s0:c") && level(&first).contains(",c"), "{first}");
        assert_eq!(of(&pods[0], "second").await.0, first);
        assert_ne!(level(&of(&pods[1], "third").await.0), level(&first));
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(of(&pods[0], "fourth").await.0, first);
        let asked = pods[0].container("asked").security(|security| security.selinux_options = options("s0:c7,c8"));
        assert_eq!(level(&labels(asked).await.0), "s0:c7,c8");
        let privileged = pods[0].container("privileged").security(|security| security.privileged = true);
        assert!(!labels(privileged).await.0.contains(":container_t:"));
    });
}

/// Only the container asks, and only for its type: the rest is as if all had labels.
#[test]
fn a_container_that_asks_has_the_pods_categories_and_reads_the_pods_files() {
    peapod_with(&Options::new().set("containers.selinux=\"asked\""), async |daemon| {
        let pod = daemon.pod("asks").run().await;
        let asked = || Some(v1::SeLinuxOption { r#type: "container_t".to_owned(), ..Default::default() });
        let asks = |name: &str| pod.container(name).security(|security| security.selinux_options = asked());
        let (first, command) = labels(asks("first")).await;
        assert_eq!(first, command);
        let reads = asks("reads").sh("cat /etc/hosts >/dev/null && echo x >/dev/shm/x && echo read").output().await;
        assert_eq!(reads, "read\n");
        if enabled() {
            assert!(level(&first).starts_with("s0:c") && level(&first).contains(",c"), "{first}");
            assert_eq!(labels(asks("second")).await.0, first);
            assert!(!labels(pod.container("nothing")).await.0.contains(":container_t:"));
        }
    });
}

#[test]
fn volumes_get_the_label_and_folders_of_the_node_do_not() {
    peapod_with(&all(), async |daemon| {
        let volume = daemon.path("volume");
        std::fs::create_dir_all(volume.join("below")).unwrap();
        std::fs::write(volume.join("below/file"), "content").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", volume.join("link")).unwrap();
        let passwd = label_of(std::path::Path::new("/etc/passwd"));
        let pod = daemon.pod("relabelled").run().await;
        let relabel = |mount: &mut v1::Mount| mount.selinux_relabel = true;
        let reads = pod.container("reads").mount_with(&volume, "/data", relabel).sh("cat /data/below/file");
        assert_eq!(reads.output().await, "content");
        assert_eq!(label_of(std::path::Path::new("/etc/passwd")), passwd);
        let of_node = pod.container("of-node").mount_with("/etc", "/data", relabel).sh("true").try_create().await;
        if enabled() {
            let label = label_of(&volume);
            assert!(label.contains("container_file_t:s0:c"), "{label}");
            assert_eq!(label_of(&volume.join("below/file")), label);
            let refused = of_node.err().unwrap();
            assert!(refused.message().contains("/etc is a folder of the node's own"), "{refused}");
        } else {
            of_node.unwrap();
        }
    });
}

#[test]
fn without_selinux_the_log_says_that_labels_have_no_effect() {
    if enabled() {
        return;
    }
    peapod(async |daemon| {
        let pod = daemon.pod("labelled").run().await;
        let labelled =
            pod.container("main").sh("true").security(|security| security.selinux_options = options("s0:c1,c2"));
        labelled.output().await;
        let said = |line: &str| line.contains("selinux_options have no effect");
        assert!(daemon.log_tail(1000).lines().any(said), "{}", daemon.log_tail(20));
    });
}
