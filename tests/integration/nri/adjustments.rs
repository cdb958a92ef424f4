//! What plugins make of containers.

use std::fs;

use peapod_nri::api::{
    self, ContainerAdjustment, Hook, Hooks, KeyValue, LinuxContainerAdjustment, LinuxDevice, LinuxMemory,
    LinuxResources, Mount, OptionalInt, OptionalInt64, POSIXRlimit,
};
use peapod_nri::stand_in::{HeardCall, Reply, adjusting};
use peapod_tests::{SHELL, on_each_runtime, peapod};

use super::plugin;

fn variable(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value.to_owned(), ..KeyValue::default() }
}

fn mount(source: &str, at: &str) -> Mount {
    Mount {
        destination: at.to_owned(),
        source: source.to_owned(),
        type_: "bind".to_owned(),
        options: ["rbind", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    }
}

/// One thing of each kind.
fn adjustment(dir: &str) -> ContainerAdjustment {
    let hook = Hook {
        path: "/bin/sh".to_owned(),
        args: ["sh", "-c", "cat >\"$TO\""].map(str::to_owned).to_vec(),
        env: vec![format!("TO={dir}/hook"), "PATH=/usr/bin:/bin".to_owned()],
        ..Hook::default()
    };
    let device = LinuxDevice {
        path: "/dev/mine".to_owned(),
        type_: "c".to_owned(),
        major: 1,
        minor: 5,
        ..LinuxDevice::default()
    };
    let memory = LinuxMemory {
        limit: Some(OptionalInt64 { value: 64 << 20, ..OptionalInt64::default() }).into(),
        ..LinuxMemory::default()
    };
    let resources = LinuxResources { memory: Some(memory).into(), ..LinuxResources::default() };
    let linux = LinuxContainerAdjustment {
        devices: vec![device],
        resources: Some(resources).into(),
        oom_score_adj: Some(OptionalInt { value: 987, ..OptionalInt::default() }).into(),
        sysctl: [("net.ipv4.ip_default_ttl".to_owned(), "77".to_owned())].into(),
        ..LinuxContainerAdjustment::default()
    };
    ContainerAdjustment {
        annotations: [("of.plugin".to_owned(), "yes".to_owned())].into(),
        mounts: vec![mount(dir, "/given"), Mount { destination: "-/mine".to_owned(), ..Mount::default() }],
        env: vec![variable("ADDED", "1"), variable("MODE", "plugin"), variable("-GONE", "")],
        hooks: Some(Hooks { create_runtime: vec![hook], ..Hooks::default() }).into(),
        linux: Some(linux).into(),
        rlimits: vec![POSIXRlimit { type_: "RLIMIT_NOFILE".to_owned(), hard: 512, soft: 256, ..Default::default() }],
        ..ContainerAdjustment::default()
    }
}

fn creating(heard: &HeardCall, adjustment: impl FnOnce() -> ContainerAdjustment) -> Option<Reply> {
    (heard.method == "CreateContainer").then(|| adjusting(adjustment()))
}

#[test]
fn a_container_is_as_plugins_want_it() {
    on_each_runtime(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "from the node\n").unwrap();
        let path = dir.path().display().to_string();
        let mut plugin = plugin(daemon, ("10", "all"), {
            let path = path.clone();
            move |heard| creating(heard, || adjustment(&path))
        })
        .await;
        let pod = daemon.pod("adjusted").run().await;
        let builder = || {
            let builder = pod.container("main").sh("exec sleep 1000").env("MODE", "client").env("GONE", "no");
            builder.mount(dir.path(), "/mine")
        };
        let main = builder().create().await;
        // An equal request gets the same, whatever plugins made of it.
        assert_eq!(builder().create().await.id, main.id);
        main.start().await.unwrap();
        let found = main
            .exec(
                "echo $ADDED $MODE $GONE; cat /given/file; ls /mine 2>/dev/null; head -c 1 /dev/mine | od -An -tx1
                 cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_default_ttl; ulimit -Sn; ulimit -Hn",
            )
            .await;
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines, ["1 plugin", "from the node", " 00", "987", "77", "256", "512"]);
        let state: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("hook")).unwrap()).unwrap();
        assert_eq!((&state["id"], &state["annotations"]["of.plugin"]), (&main.id.as_str().into(), &"yes".into()));
        let limits = main.status().await.resources.unwrap().linux.unwrap();
        assert_eq!((limits.memory_limit_in_bytes, limits.oom_score_adj), (64 << 20, 987));
        // Others see them too, and a client's change goes on from there.
        plugin.next("StartContainer").await.unwrap();
        main.update(|change| change.cpu_shares = 512).await.unwrap();
        let limits = main.status().await.resources.unwrap().linux.unwrap();
        assert_eq!((limits.memory_limit_in_bytes, limits.cpu_shares), (64 << 20, 512));
    });
}

#[test]
fn an_adjustment_outlives_a_restart_between_making_and_starting() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        let plugin = plugin(daemon, ("10", "all"), move |heard| creating(heard, || adjustment(&path))).await;
        let pod = daemon.pod("restarted").run().await;
        let main = pod.container("main").sh("exec sleep 1000").create().await;
        drop(plugin);
        daemon.kill().await;
        daemon.start_again().await;
        main.start().await.unwrap();
        let found = main.exec("echo $ADDED; cat /proc/self/oom_score_adj").await;
        assert_eq!(found, "1\n987\n");
        let state: serde_json::Value = serde_json::from_slice(&fs::read(dir.path().join("hook")).unwrap()).unwrap();
        assert_eq!(state["annotations"]["of.plugin"], "yes");
    });
}

#[test]
fn what_can_not_be_done_refuses_the_container_and_leaves_nothing() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let answer = |heard: &HeardCall| {
            creating(heard, || match super::container_of(heard).as_str() {
                "cgroup" => {
                    let linux =
                        LinuxContainerAdjustment { cgroups_path: "/elsewhere".to_owned(), ..Default::default() };
                    ContainerAdjustment { linux: Some(linux).into(), ..Default::default() }
                }
                "device" => {
                    let device = api::CDIDevice { name: "vendor.com/none=0".to_owned(), ..Default::default() };
                    ContainerAdjustment { cdi_devices: vec![device], ..Default::default() }
                }
                "mount" => ContainerAdjustment { mounts: vec![mount("relative", "/x")], ..Default::default() },
                _ => ContainerAdjustment::default(),
            })
        };
        let _plugin = plugin(daemon, ("10", "odd"), answer).await;
        let pod = daemon.pod("refused").run().await;
        for (name, why) in [("cgroup", "cgroups_path"), ("device", "vendor.com"), ("mount", "no absolute source")] {
            let error = pod.container(name).sh("true").try_create().await.err().unwrap();
            assert!(error.message().contains(why), "{error}");
        }
        assert!(daemon.containers().await.is_empty());
        assert_eq!(pod.container("plain").sh("echo fine").output().await, "fine\n");
    });
}
