//! Where processes are, and that nothing stays of where they were: with either driver, on either version.

use peapod_tests::{Container, Options, cgroups, kill, on_each_runtime, peapod, peapod_with, v1, wait_for};

/// The cgroups of a process, one in each hierarchy.
fn of_process(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

/// Neither a directory nor, with systemd, a unit that somebody would have to reset.
async fn gone(parent: &str, name: &str) {
    wait_for(&format!("nothing is left of {name}"), async || {
        let unit = if cgroups::by_systemd() {
            cgroups::systemctl(&["list-units", "--all", "--plain", name])
        } else {
            String::new()
        };
        !unit.contains(name) && cgroups::dirs(parent).iter().all(|dir| !dir.join(name).exists())
    })
    .await;
}

#[test]
fn shims_and_pod_inits_are_born_in_their_group() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("born").run().await;
        for (who, pid) in [("shim", pod.shim_pid()), ("pod init", pod.init_pid())] {
            let groups = of_process(pid);
            // On version 1 every hierarchy has it; those that limit count.
            assert!(groups.lines().any(|line| line.ends_with(&daemon.shims_cgroup())), "{who}: {groups}");
            assert!(!cgroups::is_v2() || groups.lines().count() == 1, "{who}: {groups}");
        }
        let container = pod.container("main").sh("sleep 1000").start().await;
        let pids = container.exec("cat /proc/self/cgroup").await;
        assert!(!pids.contains(&daemon.shims_cgroup()), "{pids}");
    });
}

#[test]
fn however_a_container_ends_its_group_is_gone() {
    on_each_runtime(async |daemon| {
        let parent = daemon.cgroup();
        let pod = daemon.pod("ends").run().await;
        let limit = |limits: &mut v1::LinuxContainerResources| limits.memory_limit_in_bytes = 32 << 20;
        let failed = pod.container("failed").sh("exit 3").start().await;
        let no_memory = pod.container("memory").sh("exec tail /dev/zero").resources(limit).start().await;
        let killed = pod.container("killed").sh("sleep 1000").start().await;
        let nothing = pod.container("nothing").command(&["/no/such/program"]).create().await;
        nothing.start().await.unwrap_err();
        assert_eq!(failed.wait_exit().await.exit_code, 3);
        assert_eq!(no_memory.wait_exit().await.reason, "OOMKilled");
        killed.stop(0).await.unwrap();
        let ended = [&failed, &no_memory, &killed, &nothing];
        for container in ended {
            gone(&parent, &container.cgroup_name()).await;
        }
        let running = pod.container("running").sh("sleep 1000").start().await;
        pod.stop().await.unwrap();
        gone(&parent, &running.cgroup_name()).await;
    });
}

#[test]
fn a_dead_shim_leaves_no_group() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("dead").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        kill(pod.shim_pid());
        container.wait_exit().await;
        gone(&daemon.cgroup(), &container.cgroup_name()).await;
    });
}

#[test]
fn a_parent_of_the_other_kind_is_refused_by_name() {
    peapod(async |daemon| {
        let wrong = if cgroups::by_systemd() { "/kubepods/pod1" } else { "kubepods-pod1.slice" };
        let mut request = daemon.pod("wrong").request();
        request.config.as_mut().unwrap().linux.get_or_insert_default().cgroup_parent = wrong.to_owned();
        let error = daemon.runtime().run_pod_sandbox(request).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument, "{error}");
        for word in ["cgroup_parent", wrong, cgroups::driver()] {
            assert!(error.message().contains(word), "{error}");
        }
    });
}

/// A pod keeps the driver that it was made with.
#[test]
fn a_daemon_with_another_driver_takes_over() {
    if !cgroups::by_systemd() {
        // The other one is not there.
        return;
    }
    for (before, after) in [("systemd", "cgroupfs"), ("cgroupfs", "systemd")] {
        let drop_in = |driver: &str, parent: &str| format!("[cgroup]\ndriver = {driver:?}\nparent = {parent:?}\n");
        peapod_with(&Options::new(), async |daemon| {
            let slice = daemon.cgroup();
            let parent = |driver: &str| if driver == "systemd" { slice.clone() } else { slice.replace(".slice", "") };
            let configure = |driver: &str| {
                let dir = daemon.path("config.d");
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(dir.join("driver.toml"), drop_in(driver, &parent(driver))).unwrap();
            };
            let dirs = |container: &Container<'_>, driver: &str| {
                let scope = format!("cri-containerd-{}.scope", container.id);
                let name = if driver == "systemd" { scope } else { container.id.clone() };
                cgroups::dirs(&format!("{}/{name}", parent(driver))).len()
            };
            daemon.kill().await;
            configure(before);
            daemon.start_again().await;
            let pod = daemon.pod("old").run().await;
            let running = pod.container("running").sh("sleep 1000").start().await;
            let waiting = pod.container("waiting").sh("sleep 1000").create().await;
            assert_eq!(dirs(&running, before), 1);

            daemon.kill().await;
            configure(after);
            daemon.start_again().await;
            assert_eq!(running.exec("echo hi").await, "hi\n");
            waiting.start().await.unwrap();
            let late = pod.container("late").sh("sleep 1000").start().await;
            let other = daemon.pod("new").run().await;
            let new = other.container("new").sh("sleep 1000").start().await;
            assert_eq!([dirs(&waiting, before), dirs(&late, before), dirs(&new, after)], [1, 1, 1]);
            running.stop(0).await.unwrap();
            kill(pod.shim_pid());
            late.wait_exit().await;
            pod.remove().await.unwrap();
            other.remove().await.unwrap();
            for driver in [before, after] {
                assert_eq!([&running, &waiting, &late, &new].map(|container| dirs(container, driver)), [0; 4]);
                cgroups::remove_parent(&parent(driver));
            }
        });
    }
}

/// Agents find containers by it. A pod keeps the one that it was made with.
#[test]
fn scopes_are_called_as_configured() {
    if !cgroups::by_systemd() {
        return;
    }
    peapod_with(&Options::new(), async |daemon| {
        let dirs = |container: &Container<'_>, prefix: &str| {
            cgroups::dirs(&format!("{}/{prefix}-{}.scope", daemon.cgroup(), container.id)).len()
        };
        let old = daemon.pod("old").run().await;
        let first = old.container("first").sh("sleep 1000").start().await;
        daemon.kill().await;
        let dir = daemon.path("config.d");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("prefix.toml"), "[cgroup]\nscope_prefix = \"some-other\"\n").unwrap();
        daemon.start_again().await;
        let late = old.container("late").sh("sleep 1000").start().await;
        let new = daemon.pod("new").run().await;
        let other = new.container("other").sh("sleep 1000").start().await;
        let made = [(&first, "cri-containerd"), (&late, "cri-containerd"), (&other, "some-other")];
        assert_eq!(made.map(|(container, prefix)| dirs(container, prefix)), [1; 3]);
        old.remove().await.unwrap();
        new.remove().await.unwrap();
        assert_eq!(made.map(|(container, prefix)| dirs(container, prefix)), [0; 3]);
    });
}

/// systemd writes its own idea of a scope's limits whenever it reads its units again.
#[test]
fn limits_outlive_a_reload_of_systemd() {
    if !cgroups::by_systemd() {
        return;
    }
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("reload").run().await;
        let limit = |limits: &mut v1::LinuxContainerResources| {
            (limits.memory_limit_in_bytes, limits.cpu_period, limits.cpu_quota) = (64 << 20, 100_000, 50_000);
            limits.unified.insert("memory.high".to_owned(), (48 << 20).to_string());
        };
        let container = pod.container("main").sh("sleep 1000").resources(limit).start().await;
        let dir = format!("{}/{}", daemon.cgroup(), container.cgroup_name());
        let read = |file: &str| std::fs::read_to_string(cgroups::dirs(&dir)[0].join(file)).unwrap().trim().to_owned();
        let limits = || ["memory.max", "memory.high", "memory.swap.max", "cpu.max", "pids.max"].map(read);
        let before = ["67108864", "50331648", "0", "50000 100000", "max"];
        assert_eq!(limits(), before);
        let _ = cgroups::systemctl(&["daemon-reload"]);
        assert_eq!(limits(), before);

        let change = |limits: &mut v1::LinuxContainerResources| {
            (limits.memory_limit_in_bytes, limits.cpu_quota) = (96 << 20, 75_000);
            limits.unified.insert("memory.high".to_owned(), "max".to_owned());
        };
        container.update(change).await.unwrap();
        let after = ["100663296", "max", "0", "75000 100000", "max"];
        assert_eq!(limits(), after);
        let _ = cgroups::systemctl(&["daemon-reload"]);
        assert_eq!(limits(), after);
    });
}

/// A mount of a superblock that the node has can change its options for all: on version 2 those of control groups.
#[test]
fn a_privileged_container_leaves_the_nodes_mounts_as_they_are() {
    on_each_runtime(async |daemon| {
        let mounts = || {
            let table = std::fs::read_to_string("/proc/self/mounts").unwrap();
            let kinds = ["cgroup", "cgroup2", "sysfs", "mqueue", "devtmpfs", "proc"];
            let of_node = table.lines().filter(|line| line.split(' ').nth(2).is_some_and(|kind| kinds.contains(&kind)));
            of_node.map(str::to_owned).collect::<Vec<_>>()
        };
        let before = mounts();
        assert!(before.iter().any(|line| line.contains("/sys/fs/cgroup")));
        let all = |options: &mut v1::NamespaceOption| {
            let node = v1::NamespaceMode::Node.into();
            (options.network, options.ipc, options.pid) = (node, node, node);
        };
        let pod = daemon.pod("privileged").host_network().namespaces(all).run().await;
        for (name, privileged) in [("privileged", true), ("plain", false)] {
            let container = pod.container(name).sh("ls /sys/fs/cgroup >/dev/null && sleep 1000").security(|security| {
                security.privileged = privileged;
                all(security.namespace_options.get_or_insert_default());
            });
            let container = container.start().await;
            assert_eq!(mounts(), before, "{name}");
            if privileged && cgroups::is_v2() {
                // It manages the node's tree.
                container.exec("mkdir /sys/fs/cgroup/of-a-container && rmdir /sys/fs/cgroup/of-a-container").await;
            }
            container.stop(0).await.unwrap();
            assert_eq!(mounts(), before, "{name}");
        }
    });
}
