//! Limits, where they are, and what is used.

use std::fs;

use peapod_tests::{Container, cgroups, on_each_runtime, peapod, v1, wait_for};

/// What a file of its cgroup says.
pub(crate) fn read(container: &Container<'_>, controller: &str, v1_file: &str, v2_file: &str) -> String {
    let folder = container.cgroup_dir(controller);
    let file = [v1_file, v2_file].map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    fs::read_to_string(file.expect("the file")).unwrap().trim().to_owned()
}

pub(crate) fn memory(container: &Container<'_>) -> String {
    read(container, "memory", "memory.limit_in_bytes", "memory.max")
}

#[test]
fn limits_are_set_shown_and_changed() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("limits").run().await;
        let container = pod
            .container("main")
            .sh("sleep 1000")
            .resources(|limits| {
                limits.memory_limit_in_bytes = 64 << 20;
                limits.cpu_period = 100_000;
                limits.cpu_quota = 50_000;
                limits.cpu_shares = 512;
            })
            .start()
            .await;
        assert_eq!(memory(&container), (64 << 20).to_string());
        assert!(read(&container, "cpu", "cpu.cfs_quota_us", "cpu.max").starts_with("50000"));
        let shown = container.status().await.resources.unwrap().linux.unwrap();
        assert_eq!((shown.memory_limit_in_bytes, shown.cpu_quota, shown.cpu_shares), (64 << 20, 50_000, 512));
        container.update(|limits| limits.memory_limit_in_bytes = 96 << 20).await.unwrap();
        assert_eq!(memory(&container), (96 << 20).to_string());
        // What was not said stays.
        assert!(read(&container, "cpu", "cpu.cfs_quota_us", "cpu.max").starts_with("50000"));
        let shown = container.status().await.resources.unwrap().linux.unwrap();
        assert_eq!((shown.memory_limit_in_bytes, shown.cpu_quota), (96 << 20, 50_000));
    });
}

#[test]
fn limits_of_what_has_not_started() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("early").run().await;
        let container = pod
            .container("main")
            .sh("sleep 1000")
            .resources(|limits| limits.memory_limit_in_bytes = 64 << 20)
            .create()
            .await;
        container.update(|limits| limits.memory_limit_in_bytes = 80 << 20).await.unwrap();
        container.start().await.unwrap();
        assert_eq!(memory(&container), (80 << 20).to_string());
    });
}

#[test]
fn minus_one_is_no_limit() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("none").run().await;
        let quota = |container: &Container<'_>| read(container, "cpu", "cpu.cfs_quota_us", "cpu.max");
        let unlimited = |text: &str| {
            text == "-1" || text.starts_with("max") || text.parse::<u64>().is_ok_and(|limit| limit > 1 << 60)
        };
        for (name, quota_at_first, memory_at_first) in [("none", -1, -1), ("some", 50_000, 64 << 20)] {
            let container = pod
                .container(name)
                .sh("sleep 1000")
                .resources(|limits| {
                    limits.cpu_period = 100_000;
                    limits.cpu_quota = quota_at_first;
                    limits.memory_limit_in_bytes = memory_at_first;
                    limits.memory_swap_limit_in_bytes = memory_at_first;
                })
                .start()
                .await;
            assert_eq!(unlimited(&quota(&container)), quota_at_first < 0, "{}", quota(&container));
            assert_eq!(unlimited(&memory(&container)), memory_at_first < 0, "{}", memory(&container));
            container.update(|limits| limits.cpu_quota = -1).await.unwrap();
            assert!(unlimited(&quota(&container)), "{}", quota(&container));
            container.update(|limits| limits.memory_limit_in_bytes = -1).await.unwrap();
            assert!(unlimited(&memory(&container)), "{}", memory(&container));
            let shown = container.status().await.resources.unwrap().linux.unwrap();
            assert_eq!((shown.cpu_quota, shown.memory_limit_in_bytes), (-1, -1));
            container.update(|limits| limits.cpu_quota = 70_000).await.unwrap();
            container.update(|limits| limits.memory_limit_in_bytes = 48 << 20).await.unwrap();
            assert!(quota(&container).starts_with("70000") && memory(&container) == (48 << 20).to_string());
        }
    });
}

#[test]
fn a_limit_below_what_is_used_is_refused_and_changes_nothing() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("used").run().await;
        let container = pod
            .container("main")
            .sh("head -c 50000000 /dev/zero >/dev/shm/held; echo held; sleep 1000")
            .resources(|limits| {
                limits.memory_limit_in_bytes = 128 << 20;
                limits.cpu_shares = 512;
            })
            .start()
            .await;
        container.wait_log("held").await;
        // The runtime may switch the controller on only now.
        let processors = || fs::read_to_string(container.cgroup_dir("cpuset").join("cpuset.cpus")).unwrap_or_default();
        let before = processors().trim().to_owned();
        let refused = container
            .update(|limits| {
                limits.memory_limit_in_bytes = 24 << 20;
                limits.cpu_shares = 256;
                limits.cpu_quota = 50_000;
                limits.cpuset_cpus = "0".to_owned();
            })
            .await
            .unwrap_err();
        assert!(refused.message().contains("memory"), "does not say what is too little: {refused}");
        assert_eq!(memory(&container), (128 << 20).to_string());
        assert!(!read(&container, "cpu", "cpu.cfs_quota_us", "cpu.max").starts_with("50000"), "half of it is done");
        assert_eq!(processors().trim(), before);
        let shown = container.status().await.resources.unwrap().linux.unwrap();
        assert_eq!((shown.memory_limit_in_bytes, shown.cpu_shares, shown.cpu_quota), (128 << 20, 512, 0));
        assert_eq!(container.exec("echo alive").await, "alive\n");
    });
}

/// Files of version 2 by their names, at the start and later. Version 1 has none: they are shown, and nothing else.
#[test]
fn limits_by_the_names_of_files() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("files").run().await;
        let put = |limits: &mut v1::LinuxContainerResources, file: &str, value: &str| {
            limits.unified.insert(file.to_owned(), value.to_owned());
        };
        let limited = pod.container("main").sh("sleep 1000").resources(|limits| {
            put(limits, "memory.high", "50331648");
            put(limits, "memory.low", "1048576");
        });
        let container = limited.create().await;
        container.update(|limits| put(limits, "memory.low", "2097152")).await.unwrap();
        container.start().await.unwrap();
        let is = async |high: &str, low: &str| {
            let shown = container.status().await.resources.unwrap().linux.unwrap().unified;
            assert_eq!((shown["memory.high"].as_str(), shown["memory.low"].as_str()), (high, low));
            if cgroups::is_v2() {
                let read = |file| read(&container, "memory", file, file);
                assert_eq!((read("memory.high").as_str(), read("memory.low").as_str()), (high, low));
            }
        };
        is("50331648", "2097152").await;
        container.update(|limits| put(limits, "memory.high", "max")).await.unwrap();
        is("max", "2097152").await;
        if cgroups::is_v2() {
            // One of three that is none: the others are not in force either.
            let refused = container.update(|limits| {
                put(limits, "memory.high", "33554432");
                put(limits, "memory.low", "0");
                put(limits, "memory.nothing", "1");
            });
            refused.await.unwrap_err();
            is("max", "2097152").await;
            assert_eq!(container.exec("echo alive").await, "alive\n");
        }
    });
}

#[test]
fn the_parent_is_the_one_that_was_asked_for() {
    on_each_runtime(async |daemon| {
        let above = cgroups::parent(&daemon.cgroup(), "mine");
        let parent = cgroups::parent(&above, "pod1");
        let pod = daemon
            .pod("parent")
            .config(|config| config.linux.get_or_insert_default().cgroup_parent.clone_from(&parent))
            .run()
            .await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let path = container.cgroup_dir("pids");
        let wanted = format!("{}/{}", parent.trim_start_matches('/'), container.cgroup_name());
        assert!(path.ends_with(wanted), "{}", path.display());
        // The kubelet kills what is left in the pod's cgroup: only the container's own processes may be there.
        let pids = fs::read_to_string(path.join("cgroup.procs")).unwrap();
        for pid in pids.lines() {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(!command.contains("shim"), "{command}");
        }
        pod.remove().await.unwrap();
        // The parent is the client's: it made it or let it be made, and removes it.
        cgroups::remove_parent(&parent);
        cgroups::remove_parent(&above);
    });
}

#[test]
fn usage_of_containers_and_pods() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("usage").run().await;
        let script = "head -c 3000000 /dev/zero >/written; while :; do :; done";
        let container = pod.container("main").sh(script).start().await;
        let id = container.id.clone();
        let stats = async || {
            let request = v1::ContainerStatsRequest { container_id: id.clone() };
            daemon.runtime().container_stats(request).await.unwrap().into_inner().stats.unwrap()
        };
        wait_for("usage is counted", async || {
            let stats = stats().await;
            let rate = stats.cpu.as_ref().and_then(|cpu| cpu.usage_nano_cores).map_or(0, |value| value.value);
            let cpu = stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map_or(0, |value| value.value);
            let memory = stats.memory.and_then(|memory| memory.working_set_bytes).map_or(0, |value| value.value);
            let disk = stats.writable_layer.and_then(|layer| layer.used_bytes).map_or(0, |value| value.value);
            cpu > 10_000_000 && memory > 10_000 && disk >= 3_000_000 && rate > 10_000_000
        })
        .await;
        assert_eq!(stats().await.attributes.unwrap().metadata, container.config.metadata);

        let request = v1::ListContainerStatsRequest::default();
        let all = daemon.runtime().list_container_stats(request).await.unwrap().into_inner().stats;
        assert_eq!(all.len(), 1);
        let request = v1::PodSandboxStatsRequest { pod_sandbox_id: pod.id.clone() };
        let of_pod = daemon.runtime().pod_sandbox_stats(request).await.unwrap().into_inner().stats.unwrap();
        let linux = of_pod.linux.unwrap();
        assert!(linux.cpu.unwrap().usage_core_nano_seconds.unwrap().value > 10_000_000);
        assert!(linux.cpu.unwrap().usage_nano_cores.unwrap().value > 10_000_000);
        assert_eq!(linux.containers.len(), 1);
        let request = v1::ListPodSandboxStatsRequest::default();
        assert_eq!(daemon.runtime().list_pod_sandbox_stats(request).await.unwrap().into_inner().stats.len(), 1);
        container.stop(0).await.unwrap();
        let request = v1::ListContainerStatsRequest::default();
        let all = daemon.runtime().list_container_stats(request).await.unwrap().into_inner().stats;
        assert!(all.is_empty(), "what has ended uses nothing: {all:?}");
    });
}

#[test]
fn huge_messages_pass() {
    peapod(async |daemon| {
        let big = "x".repeat(5 << 20);
        let pod = daemon
            .pod("big")
            .config(|config| drop(config.annotations.insert("big".to_owned(), big.clone())))
            .run()
            .await;
        assert_eq!(pod.status().await.annotations["big"].len(), big.len());
    });
}

/// Under crun an exec'd process would have the shim's score: next to nothing would be killed after it.
#[test]
fn a_command_is_as_likely_to_be_killed_as_its_container() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("score").run().await;
        let container =
            pod.container("main").sh("sleep 1000").resources(|limits| limits.oom_score_adj = 731).start().await;
        let script = "for i in $(seq 100); do [ $(cat /proc/$$/oom_score_adj) = 731 ] && break; sleep 0.05; done; cat /proc/$$/oom_score_adj";
        assert_eq!(container.exec(&format!("sh -c '{script}'")).await, "731\n");
    });
}
