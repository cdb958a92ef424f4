//! Limits of a pod as a whole whose client names no cgroup: all its containers have them together, in a cgroup that
//! comes and goes with the pod. systemd makes none: there they are recorded, and nothing else.

use std::fs;
use std::path::PathBuf;

use peapod_tests::{Daemon, Pod, PodBuilder, cgroups, kill, on_each_runtime, peapod, v1, wait_for};
use tonic::{Code, Status};
use v1::ContainerState::ContainerRunning;
use v1::LinuxContainerResources;

use crate::faults::die_at;

/// What is told of pods here; anonymous memory and tmpfs count, nothing is swapped.
fn some(limits: &mut LinuxContainerResources) {
    (limits.memory_limit_in_bytes, limits.cpu_period, limits.cpu_quota) = (64 << 20, 100_000, 50_000);
    limits.cpu_shares = 512;
    limits.unified.insert("pids.max".to_owned(), "200".to_owned());
}

fn limited<'a>(daemon: &'a Daemon, name: &str, change: impl FnOnce(&mut LinuxContainerResources)) -> PodBuilder<'a> {
    daemon.pod(name).config(|config| {
        change(config.linux.get_or_insert_default().resources.get_or_insert_default());
    })
}

fn group(pod: &Pod<'_>) -> String {
    format!("{}/pod{}", pod.daemon.cgroup(), pod.id)
}

/// What a file of the pod's own cgroup says.
fn read(pod: &Pod<'_>, v1_file: &str, v2_file: &str) -> String {
    let dirs = cgroups::dirs(&group(pod));
    let file = dirs.iter().flat_map(|dir| [v1_file, v2_file].map(|name| dir.join(name))).find(|path| path.exists());
    fs::read_to_string(file.unwrap_or_else(|| panic!("no {v1_file} in {dirs:?}"))).unwrap().trim().to_owned()
}

/// Memory, processors, tasks.
fn in_force(pod: &Pod<'_>) -> (u64, u64, String) {
    let number = |text: String| text.split(' ').next().unwrap().parse().unwrap();
    (
        number(read(pod, "memory.limit_in_bytes", "memory.max")),
        number(read(pod, "cpu.cfs_quota_us", "cpu.max")),
        read(pod, "pids.max", "pids.max"),
    )
}

async fn update(pod: &Pod<'_>, change: impl FnOnce(&mut LinuxContainerResources)) -> Result<(), Status> {
    let mut resources = LinuxContainerResources::default();
    change(&mut resources);
    let (pod_sandbox_id, resources) = (pod.id.clone(), Some(resources));
    let request = v1::UpdatePodSandboxResourcesRequest { pod_sandbox_id, resources, overhead: None };
    pod.daemon.runtime().update_pod_sandbox_resources(request).await.map(drop)
}

fn gone(path: &str) -> bool {
    cgroups::dirs(path).is_empty()
}

#[test]
fn a_pod_with_limits_has_a_group_of_its_own() {
    if cgroups::by_systemd() {
        return;
    }
    on_each_runtime(async |daemon| {
        let pod = limited(daemon, "own", some).run().await;
        assert_eq!(in_force(&pod), (64 << 20, 50_000, "200".to_owned()));
        let shares = read(&pod, "cpu.shares", "cpu.weight");
        assert_eq!(shares, if cgroups::is_v2() { "20" } else { "512" });
        let containers = [pod.container("a").sh("sleep 1000"), pod.container("b").sh("sleep 1000")];
        let own = group(&pod);
        let mut dirs = Vec::new();
        for container in containers {
            let container = container.start().await;
            let dir = container.cgroup_dir("memory");
            assert!(dir.ends_with(format!("{}/{}", own.trim_start_matches('/'), container.id)), "{}", dir.display());
            dirs.push((container, dir));
        }
        // A container's end takes nothing of the pod's.
        let (first, dir) = dirs.remove(0);
        first.stop(0).await.unwrap();
        first.remove().await.unwrap();
        wait_for("its group is gone", async || !dir.exists()).await;
        assert_eq!(in_force(&pod), (64 << 20, 50_000, "200".to_owned()));
        pod.stop().await.unwrap();
        assert!(gone(&own), "the pod was stopped");
        pod.remove().await.unwrap();

        // Shares alone are no limit, and who names a group has made it.
        let plain = limited(daemon, "plain", |limits| limits.cpu_shares = 512).run().await;
        let named = limited(daemon, "named", some);
        let parent = cgroups::parent(&daemon.cgroup(), "named");
        let named = named.config(|config| config.linux.as_mut().unwrap().cgroup_parent.clone_from(&parent)).run().await;
        // A kubelet that makes no groups tells sums.
        let kubelet = limited(daemon, "kubelet", some).config(|config| {
            config.annotations.insert("kubernetes.io/config.source".to_owned(), "api".to_owned());
        });
        let kubelet = kubelet.run().await;
        for other in [&plain, &named, &kubelet] {
            assert!(gone(&group(other)));
            let container = other.container("main").sh("sleep 1000").start().await;
            let above = container.cgroup_dir("memory").parent().map(PathBuf::from).unwrap();
            let wanted = if other.id == named.id { parent.clone() } else { daemon.cgroup() };
            assert!(above.ends_with(wanted.trim_start_matches('/')), "{}", above.display());
            other.remove().await.unwrap();
        }
        cgroups::remove_parent(&parent);
    });
}

/// Each fits into its own limit, and into what the pod has, but not both.
#[test]
fn containers_are_held_together() {
    if cgroups::by_systemd() {
        return;
    }
    on_each_runtime(async |daemon| {
        let own = |limits: &mut LinuxContainerResources| limits.memory_limit_in_bytes = 56 << 20;
        // `tail` keeps what has no line end.
        let script = "mkfifo /pipe; head -c 24000000 /dev/zero >/pipe & exec tail -n 1 /pipe >/dev/null";
        for (name, expected) in [("free", (0, "Completed")), ("held", (137, "OOMKilled"))] {
            let limits = |limits: &mut LinuxContainerResources| {
                if name == "held" {
                    limits.memory_limit_in_bytes = 64 << 20;
                }
            };
            let pod = limited(daemon, name, limits).run().await;
            let holder = pod.container("holder").sh("head -c 48000000 /dev/zero >/dev/shm/held; echo held; sleep 1000");
            let holder = holder.resources(own).start().await;
            holder.wait_log("held").await;
            let other = pod.container("other").sh(script).resources(own).start().await.wait_exit().await;
            assert_eq!((other.exit_code, other.reason.as_str()), expected, "{name}");
            assert_eq!(holder.state().await, ContainerRunning, "{name}");
            pod.remove().await.unwrap();
        }
    });
}

#[test]
fn limits_in_force_change_all_or_none() {
    if cgroups::by_systemd() {
        return;
    }
    on_each_runtime(async |daemon| {
        let pod = limited(daemon, "changed", some).run().await;
        let holder = pod.container("main").sh("head -c 40000000 /dev/zero >/dev/shm/held; echo held; sleep 1000");
        let holder = holder.start().await;
        holder.wait_log("held").await;
        update(&pod, |limits| limits.memory_limit_in_bytes = 96 << 20).await.unwrap();
        assert_eq!(in_force(&pod), (96 << 20, 50_000, "200".to_owned()), "what was not said stays");
        update(&pod, |limits| (limits.cpu_quota, limits.cpu_period) = (40_000, 50_000)).await.unwrap();
        assert_eq!(in_force(&pod), (96 << 20, 40_000, "200".to_owned()));
        let refused = update(&pod, |limits| {
            (limits.cpu_quota, limits.memory_limit_in_bytes) = (20_000, 16 << 20);
            limits.unified.insert("pids.max".to_owned(), "300".to_owned());
        });
        let refused = refused.await.unwrap_err();
        assert!(refused.message().contains("memory"), "{refused}");
        assert_eq!(in_force(&pod), (96 << 20, 40_000, "200".to_owned()), "half of it is done");
        let refused = update(&pod, |limits| limits.cpuset_cpus = "4000".to_owned()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        update(&pod, |limits| limits.cpu_quota = -1).await.unwrap();
        let quota = read(&pod, "cpu.cfs_quota_us", "cpu.max");
        assert!(quota == "-1" || quota.starts_with("max"), "{quota}");
        assert_eq!(holder.exec("echo alive").await, "alive\n");

        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(read(&pod, "memory.limit_in_bytes", "memory.max"), (96 << 20).to_string());
        let late = pod.container("late").sh("sleep 1000").start().await;
        assert!(late.cgroup_dir("memory").to_string_lossy().contains(&group(&pod)));
        update(&pod, |limits| limits.memory_limit_in_bytes = 128 << 20).await.unwrap();
        assert_eq!(read(&pod, "memory.limit_in_bytes", "memory.max"), (128 << 20).to_string());

        // What an ended container wrote into the pod's memory is the pod's still.
        holder.stop(0).await.unwrap();
        holder.remove().await.unwrap();
        let request = v1::PodSandboxStatsRequest { pod_sandbox_id: pod.id.clone() };
        let stats = daemon.runtime().pod_sandbox_stats(request).await.unwrap().into_inner().stats.unwrap();
        let used = stats.linux.and_then(|linux| linux.memory?.usage_bytes).map_or(0, |bytes| bytes.value);
        assert!(used >= 40_000_000, "{used} bytes: not of the pod's own group");
        pod.stop().await.unwrap();
        // Nothing is in force of it any more: it is recorded.
        update(&pod, |limits| limits.memory_limit_in_bytes = 1 << 30).await.unwrap();
        assert!(gone(&group(&pod)));
        pod.remove().await.unwrap();
    });
}

#[test]
fn limits_that_can_not_be_are_refused_and_leave_nothing() {
    if cgroups::by_systemd() {
        return;
    }
    peapod(async |daemon| {
        let swap = |limits: &mut LinuxContainerResources| {
            (limits.memory_limit_in_bytes, limits.memory_swap_limit_in_bytes) = (64 << 20, 32 << 20);
        };
        let processors = |limits: &mut LinuxContainerResources| limits.cpuset_cpus = "4000".to_owned();
        let tasks = |limits: &mut LinuxContainerResources| {
            drop(limits.unified.insert("pids.max".to_owned(), "many".to_owned()));
        };
        let refused = [
            limited(daemon, "processors", processors).try_run().await,
            limited(daemon, "tasks", tasks).try_run().await,
        ];
        for refused in refused {
            let refused = refused.map(drop).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains("linux.resources"), "{refused}");
        }
        // Where swap is not counted its limit says nothing.
        if let Ok(pod) = limited(daemon, "swap", swap).try_run().await {
            pod.remove().await.unwrap();
        }
        daemon.nothing_left().await;
    });
}

#[test]
fn whenever_the_daemon_is_killed_no_group_is_left() {
    if cgroups::by_systemd() {
        return;
    }
    peapod(async |daemon| {
        for stage in ["pod-intent", "pod-group", "pod-folder", "pod-isolated"] {
            let pod = limited(daemon, stage, some);
            die_at(daemon, stage, async || pod.try_run().await.map(drop)).await;
            daemon.nothing_left().await;
        }
        for stage in ["pod-killed", "pod-shim-ended", "pod-group-gone", "pod-released"] {
            let pod = limited(daemon, stage, some).run().await;
            let container = pod.container("main").sh("sleep 1000").start().await;
            assert!(container.cgroup_dir("memory").to_string_lossy().contains(&group(&pod)));
            die_at(daemon, stage, async || pod.stop().await).await;
            pod.remove().await.unwrap();
            daemon.nothing_left().await;
        }
        for stage in ["pod-limits-asked", "pod-limits-set"] {
            let pod = limited(daemon, stage, some).run().await;
            let container = pod.container("main").sh("sleep 1000").start().await;
            let change = |limits: &mut LinuxContainerResources| {
                (limits.memory_limit_in_bytes, limits.cpu_quota) = (96 << 20, 70_000);
            };
            die_at(daemon, stage, async || update(&pod, change).await).await;
            // Nobody was told: those of before are in force, once the pod is recovered.
            assert_eq!(container.exec("echo alive").await, "alive\n");
            assert_eq!(in_force(&pod), (64 << 20, 50_000, "200".to_owned()), "{stage}");
            // The shim goes, too.
            kill(pod.shim_pid());
            container.wait_exit().await;
            pod.remove().await.unwrap();
            daemon.nothing_left().await;
        }
    });
}

/// A group of a pod that no record knows, with what runs in it.
#[test]
fn a_group_of_nobodys_pod_is_swept() {
    if cgroups::by_systemd() {
        return;
    }
    peapod(async |daemon| {
        let stays = limited(daemon, "stays", some).run().await;
        let container = stays.container("main").sh("sleep 1000").start().await;
        let nobody = format!("{}/pod{}", daemon.cgroup(), "f0".repeat(32));
        let parents = cgroups::dirs(&daemon.cgroup());
        for dir in &parents {
            fs::create_dir_all(dir.join(format!("pod{}", "f0".repeat(32))).join("f1".repeat(32))).unwrap();
        }
        assert_eq!(cgroups::dirs(&nobody).len(), parents.len());
        wait_for("it is removed", async || gone(&nobody)).await;
        assert_eq!(container.exec("echo alive").await, "alive\n");
        assert_eq!(in_force(&stays), (64 << 20, 50_000, "200".to_owned()));
    });
}

/// `peapod run` without a kubelet.
#[test]
fn the_client_leaves_a_pods_limits_to_its_group() {
    peapod(async |daemon| {
        let manifest = "apiVersion: v1
kind: Pod
metadata: {name: whole}
spec:
  restartPolicy: Never
  resources: {limits: {memory: 64Mi, cpu: 500m}}
  containers:
  - name: main
    image: IMAGE
    command: [sh, -c, 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true']
  - {name: other, image: IMAGE, command: ['true'], resources: {limits: {memory: 32Mi}}}
";
        let run = async |manifest: &str| {
            let file = daemon.path("whole.yaml");
            fs::write(&file, manifest.replace("IMAGE", &peapod_tests::fixture(peapod_tests::SHELL))).unwrap();
            let output = daemon.client(&["run", &file.to_string_lossy()]).output().await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let (code, out, err) = run(manifest).await;
        assert_eq!(code, Some(0), "{err}");
        // Of its own the container has none where the pod has a group.
        let is_each = out.lines().any(|line| line.ends_with("| 67108864"));
        let is_said = err.contains("hold for each container that has no limits of its own");
        assert_eq!((is_each, is_said), (cgroups::by_systemd(), cgroups::by_systemd()), "{out}{err}");
        let pids = manifest.replace("cpu: 500m", "pids: 50");
        let (code, _, err) = run(&pids).await;
        assert_eq!((code != Some(0), err.contains("pids")), (cgroups::by_systemd(), cgroups::by_systemd()), "{err}");
        daemon.nothing_left().await;
    });
}
