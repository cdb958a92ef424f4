//! Containers that divide their own cgroups further: only on cgroup v2, and never their own limits.

use std::fs;
use std::path::PathBuf;

use peapod_tests::{Container, Options, Pod, Programs, peapod_with, v1};

/// Whether the node keeps limits out of containers' reach.
fn can_delegate() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let of_v2 = |line: &&str| line.split(' ').nth(1) == Some("/sys/fs/cgroup") && line.contains(" cgroup2 ");
    mounts.lines().filter(of_v2).any(|line| line.contains("nsdelegate"))
}

fn options(handler: &'static str) -> Options {
    let programs = Programs::get();
    let path = if handler == "crun" { &programs.crun } else { &programs.runc };
    let set = |key: &str, value: &str| format!("runtimes.handlers.{handler}.{key}={value}");
    Options::new()
        .handler(handler)
        .set(set("path", &format!("\"{}\"", path.display())))
        .set(set("cgroup_writable", "true"))
}

async fn started<'a>(pod: &Pod<'a>, name: &str) -> Container<'a> {
    let options = pod.config.linux.clone().unwrap_or_default().security_context.unwrap_or_default().namespace_options;
    pod.container(name)
        .security(|security| security.namespace_options = options)
        .resources(|limits| {
            limits.memory_limit_in_bytes = 64 << 20;
            limits.unified.insert("pids.max".to_owned(), "77".to_owned());
        })
        .sh("exec sleep 1000")
        .start()
        .await
}

/// A container enables controllers below its own group, limits a group there, and fails to write its own limits.
const DIVIDES: &str = "cd /sys/fs/cgroup && cat /proc/self/cgroup && echo '+memory +pids' >cgroup.subtree_control &&
    mkdir part && echo 33554432 >part/memory.max && cat part/memory.max &&
    for file in memory.max pids.max; do echo max 2>/dev/null >$file && echo $file is written; done;
    mkdir part/init init/deep && echo $$ >part/init/cgroup.procs && cat /proc/self/cgroup";

async fn divides(pod: &Pod<'_>, handler: &str) {
    let container = started(pod, "main").await;
    let group: PathBuf = container.cgroup_dir("memory");
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap().trim().to_owned();
    assert_eq!(read("cgroup.procs"), "", "{handler}: its processes are in a group below");
    assert!(!read("init/cgroup.procs").is_empty(), "{handler}");
    assert_eq!(container.exec(DIVIDES).await, "0::/init\n33554432\n0::/part/init\n", "{handler}");
    assert_eq!((read("memory.max"), read("pids.max")), ((64 << 20).to_string(), "77".to_owned()), "{handler}");
    assert_eq!(read("cgroup.subtree_control"), "memory pids", "{handler}");
    // Commands begin where the first process is, and limits from outside are set as ever.
    assert_eq!(container.exec("cat /proc/self/cgroup").await, "0::/init\n", "{handler}");
    container.update(|limits| limits.memory_limit_in_bytes = 48 << 20).await.unwrap();
    assert_eq!(read("memory.max"), (48 << 20).to_string(), "{handler}");
    container.stop(0).await.unwrap();
    container.remove().await.unwrap();
    assert!(!group.exists(), "{handler}: nothing is left of it");
}

#[test]
fn a_container_divides_its_group_and_not_its_limits() {
    if !can_delegate() {
        return;
    }
    for handler in ["crun", "runc"] {
        peapod_with(&options(handler), async |daemon| {
            let pod = daemon.pod("divides").run().await;
            divides(&pod, handler).await;
            // Who is not asked for it sees its groups and can't write them.
            let privileged = pod.container("privileged").sh("cat /proc/self/cgroup; exec sleep 1000");
            let privileged = privileged.security(|security| security.privileged = true).start().await;
            assert!(!privileged.exec("cat /proc/self/cgroup").await.contains("0::/init"), "{handler}");
        });
    }
}

/// Makes groups beside each other until none can be made any more, and says how many there are; the same downwards.
const FILLS: &str = "cd /sys/fs/cgroup
    n=0; while [ $n -lt 3000 ] && mkdir g$n 2>/dev/null; do n=$((n+1)); done; echo $n; rmdir g*
    d=0; while [ $d -lt 100 ] && mkdir d 2>/dev/null && cd d; do d=$((d+1)); done; echo $d; cd /sys/fs/cgroup
    for file in descendants depth; do echo max 2>/dev/null >cgroup.max.$file && echo $file is written; done; true";

#[test]
fn groups_of_a_container_have_bounds() {
    if !can_delegate() {
        return;
    }
    peapod_with(&options("crun"), async |daemon| {
        let pod = daemon.pod("fills").run().await;
        let container = started(&pod, "main").await;
        // With `init`, the group in which it runs.
        assert_eq!(container.exec(FILLS).await, "1023\n32\n");
        container.stop(0).await.unwrap();
        container.remove().await.unwrap();
    });
}

#[test]
fn root_of_a_pods_own_users_divides_its_group() {
    if !can_delegate() {
        return;
    }
    peapod_with(&options("runc"), async |daemon| {
        let ids = vec![v1::IdMapping { host_id: 200_000, container_id: 0, length: 65_536 }];
        let users = v1::UserNamespace { mode: v1::NamespaceMode::Pod.into(), uids: ids.clone(), gids: ids };
        let pod = daemon.pod("own").namespaces(|options| options.userns_options = Some(users)).run().await;
        divides(&pod, "runc").await;
    });
}

#[test]
fn where_limits_could_be_written_the_setting_is_refused_with_the_reason() {
    if can_delegate() {
        return;
    }
    let mut check = std::process::Command::new(&Programs::get().peapod);
    check.args(["serve", "--check-config", "--set", "runtimes.handlers.mine.path=/bin/true"]);
    check.args(["--set", "runtimes.handlers.mine.cgroup_writable=true"]);
    let output = check.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("runtimes.handlers.mine.cgroup_writable: needs cgroup"), "{said}");
}
