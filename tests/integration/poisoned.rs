//! The daemon starts whatever it finds: each record, file, socket, cgroup and layer is spoiled in turn, and costs its
//! own pod alone.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use peapod_tests::{Container, Daemon, Pod, SHELL, cgroups, kill, peapod, processes, v1, wait_for};
use v1::ContainerState::{ContainerExited, ContainerRunning};

/// What runs in the pod that is spoiled; nothing else has that command line.
const SLEEP: &str = "sleep 53531";

fn state(daemon: &Daemon, file: &str, sql: &str) {
    let db = rusqlite::Connection::open(daemon.state_root().join(file)).unwrap();
    db.execute_batch(sql).unwrap();
}

fn bundle(container: &Container<'_>) -> PathBuf {
    let pod = container.pod.daemon.run_root().join("pods").join(&container.pod.id);
    pod.join("containers").join(&container.id)
}

fn socket(pod: &Pod<'_>) -> PathBuf {
    pod.daemon.run_root().join("s").join(&pod.id[..16])
}

fn remove(path: &Path) {
    let removed = std::process::Command::new("rm").arg("-rf").arg(path).status().unwrap();
    assert!(removed.success());
}

fn fifo(path: &Path) {
    remove(path);
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

/// A pod with a container that runs, one that has ended and one that waits.
struct Full<'a> {
    pod: Pod<'a>,
    running: Container<'a>,
    ended: Container<'a>,
    waiting: Container<'a>,
}

impl<'a> Full<'a> {
    async fn run(daemon: &'a Daemon, name: &str, script: &str) -> Self {
        let pod = daemon.pod(name).run().await;
        let running = pod.container("running").sh(script).start().await;
        let ended = pod.container("ended").sh("exit 3").start().await;
        ended.wait_exit().await;
        let waiting = pod.container("waiting").sh("sleep 1000").create().await;
        Self { pod, running, ended, waiting }
    }

    async fn is_well(&self) {
        assert!(self.pod.is_ready().await);
        assert_eq!(self.running.state().await, ContainerRunning);
        assert_eq!(self.running.exec("echo here").await, "here\n");
        assert_eq!(self.ended.status().await.exit_code, 3);
    }
}

/// What is to be spoiled, by its name, and how.
type Poison = (&'static str, fn(&Full<'_>));

/// Spoils each in a pod of its own, while the daemon is dead. Then all else works, and the pod can be stopped and
/// removed.
#[allow(clippy::print_stderr, reason = "shows which one it was when the test fails")]
fn each(poisons: &[Poison]) {
    peapod(async |daemon| {
        let healthy = Full::run(daemon, "healthy", "sleep 1000").await;
        for (number, (name, poison)) in poisons.iter().enumerate() {
            eprintln!("{name}");
            let sick = Full::run(daemon, "sick", &format!("{SLEEP} & {SLEEP}")).await;
            daemon.kill().await;
            poison(&sick);
            daemon.start_again().await;
            healthy.is_well().await;
            let other = daemon.pod(&format!("other-{number}")).run().await;
            assert_eq!(other.container("main").sh("echo whole").output().await, "whole\n");
            other.remove().await.unwrap();
            // A list shows nothing that can't be asked for.
            for pod in daemon.pods().await {
                let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.id, verbose: true };
                daemon.runtime().pod_sandbox_status(request).await.unwrap();
            }
            for container in daemon.containers().await {
                let request = v1::ContainerStatusRequest { container_id: container.id, verbose: true };
                daemon.runtime().container_status(request).await.unwrap();
            }
            sick.pod.stop().await.unwrap();
            sick.pod.remove().await.unwrap();
            wait_for("nothing of it runs", async || processes(SLEEP) == 0).await;
            wait_for("its cgroups are gone", async || {
                let parents = cgroups::dirs(&daemon.cgroup());
                !parents.iter().any(|parent| parent.join(sick.running.cgroup_name()).exists())
            })
            .await;
            // And its name is free.
            daemon.pod("sick").run().await.remove().await.unwrap();
            healthy.is_well().await;
        }
        healthy.waiting.start().await.unwrap();
        healthy.pod.remove().await.unwrap();
    });
}

fn pod_column(full: &Full<'_>, column: &str, value: &str) {
    let sql = format!("UPDATE pods SET {column} = {value} WHERE id = '{}'", full.pod.id);
    state(full.pod.daemon, "state.db", &sql);
}

fn container_column(full: &Full<'_>, column: &str, value: &str) {
    let sql = format!("UPDATE containers SET {column} = {value} WHERE id = '{}'", full.running.id);
    state(full.pod.daemon, "state.db", &sql);
}

const HUGE: &str = "replace(hex(zeroblob(40000000)), '00', '[]')";

#[test]
fn records_of_pods() {
    each(&[
        ("a specification that is no JSON", |full| pod_column(full, "spec", "'{{{'")),
        ("an empty specification", |full| pod_column(full, "spec", "''")),
        ("a specification without its fields", |full| pod_column(full, "spec", "'{}'")),
        ("a specification of bytes", |full| pod_column(full, "spec", "CAST(x'ff00fe' AS TEXT)")),
        ("a huge specification", |full| pod_column(full, "spec", HUGE)),
        ("a state that is no JSON", |full| pod_column(full, "state", "'null'")),
        ("an unknown phase", |full| pod_column(full, "state", "json_set(state, '$.phase', 'Dreaming')")),
        ("a state of another type", |full| pod_column(full, "state", "json_set(state, '$.last_event', -1)")),
        ("a deep state", |full| pod_column(full, "state", "replace(hex(zeroblob(5000)), '00', '[')")),
        ("a socket elsewhere", |full| pod_column(full, "state", "json_set(state, '$.socket', '/nowhere')")),
        ("an id that is none", |full| pod_column(full, "id", "'../../etc'")),
        ("no record at all", |full| {
            state(full.pod.daemon, "state.db", &format!("DELETE FROM pods WHERE id = '{}'", full.pod.id));
        }),
    ]);
}

#[test]
fn records_of_containers() {
    each(&[
        ("a specification that is no JSON", |full| container_column(full, "spec", "'x'")),
        ("a state without its fields", |full| container_column(full, "state", "'{}'")),
        ("an unknown phase", |full| container_column(full, "state", "json_set(state, '$.phase', 'Dreaming')")),
        ("a huge state", |full| container_column(full, "state", HUGE)),
        ("somebody else's cgroup", |full| container_column(full, "state", "json_set(state, '$.cgroup', '/')")),
        ("an id that is none", |full| container_column(full, "id", "'' || char(10)")),
        ("a pod that is none", |full| container_column(full, "pod", "'nobody'")),
        ("a process that is none", |full| {
            container_column(full, "state", "json_set(state, '$.phase.Running.pid', 1)");
        }),
        ("no record at all", |full| {
            let sql = format!("DELETE FROM containers WHERE id = '{}'", full.running.id);
            state(full.pod.daemon, "state.db", &sql);
        }),
    ]);
}

#[test]
fn files_of_a_container() {
    each(&[
        ("no configuration", |full| remove(&bundle(&full.running).join("config.json"))),
        ("a FIFO as configuration", |full| fifo(&bundle(&full.running).join("config.json"))),
        ("an exit that is none", |full| fs::write(bundle(&full.running).join("exit"), "code x\n\0").unwrap()),
        ("a FIFO as exit", |full| fifo(&bundle(&full.running).join("exit"))),
        ("a folder as exit", |full| fs::create_dir(bundle(&full.running).join("exit")).unwrap()),
        ("an endless exit", |full| {
            std::os::unix::fs::symlink("/dev/zero", bundle(&full.running).join("exit")).unwrap();
        }),
        ("a cgroup file of somebody else's group", |full| {
            fs::write(bundle(&full.running).join("cgroup"), "/nobody/of/that/name").unwrap();
            kill(full.pod.shim_pid());
        }),
        ("FIFOs as what the shim left", |full| {
            kill(full.pod.shim_pid());
            for name in ["cgroup", "runtime", "pid", "config.json"] {
                fifo(&bundle(&full.running).join(name));
            }
            fifo(&full.pod.daemon.run_root().join("pods").join(&full.pod.id).join("init.pid"));
        }),
    ]);
}

#[test]
fn sockets() {
    each(&[
        ("no socket", |full| remove(&socket(&full.pod))),
        ("a file", |full| {
            remove(&socket(&full.pod));
            fs::write(socket(&full.pod), "").unwrap();
        }),
        ("a folder", |full| {
            remove(&socket(&full.pod));
            fs::create_dir(socket(&full.pod)).unwrap();
        }),
        ("a FIFO", |full| fifo(&socket(&full.pod))),
        ("a link to itself", |full| {
            remove(&socket(&full.pod));
            std::os::unix::fs::symlink(socket(&full.pod), socket(&full.pod)).unwrap();
        }),
        ("one that nobody serves", |full| {
            remove(&socket(&full.pod));
            drop(UnixListener::bind(socket(&full.pod)).unwrap());
        }),
        ("one that answers nonsense", |full| {
            remove(&socket(&full.pod));
            let listener = UnixListener::bind(socket(&full.pod)).unwrap();
            // Ends with the test's process: it waits for nothing but clients.
            std::thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    let _ = std::io::Write::write_all(&mut &client, &[0xff; 4096]);
                }
            });
        }),
    ]);
}

#[test]
fn a_shim_that_accepts_and_says_nothing() {
    each(&[("a listener that never answers", |full| {
        remove(&socket(&full.pod));
        let listener = UnixListener::bind(socket(&full.pod)).unwrap();
        std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    })]);
}

#[test]
fn folders_and_groups() {
    each(&[
        ("no folder of the pod", |full| {
            let _ = std::process::Command::new("rm")
                .arg("-rf")
                .arg(full.pod.daemon.run_root().join("pods").join(&full.pod.id))
                .output();
        }),
        ("no writable layer of what waits", |full| {
            remove(&full.pod.daemon.state_root().join("containers").join(&full.waiting.id));
        }),
        ("a frozen cgroup", |full| {
            for parent in cgroups::dirs(&full.pod.daemon.cgroup()) {
                let group = parent.join(full.running.cgroup_name());
                // One of them is there, as the node has it.
                let _ = fs::write(group.join("freezer.state"), "FROZEN");
                let _ = fs::write(group.join("cgroup.freeze"), "1");
            }
        }),
        ("rubbish beside the pods", |full| {
            let run = full.pod.daemon.run_root();
            fs::create_dir_all(run.join("pods/rubbish/containers/x")).unwrap();
            fs::create_dir_all(run.join("s/rubbish")).unwrap();
            fs::write(run.join("s/0123456789abcdef"), "").unwrap();
            fs::create_dir_all(full.pod.daemon.state_root().join("containers/rubbish/upper")).unwrap();
        }),
        ("rubbish among partial blobs", |full| {
            let ingest = full.pod.daemon.state_root().join("ingest");
            fs::create_dir_all(ingest.join("folder.part")).unwrap();
            fs::write(ingest.join("rubbish"), "x").unwrap();
            fifo(&ingest.join("fifo.part"));
        }),
        ("a CNI configuration that is none", |full| {
            let cni = full.pod.daemon.path("cni");
            fs::create_dir_all(cni.join("folder.conflist")).unwrap();
            fifo(&cni.join("99-fifo.conf"));
        }),
        ("a folder in the daemon's socket's place", |full| {
            remove(&full.pod.daemon.socket());
            fs::create_dir(full.pod.daemon.socket()).unwrap();
        }),
        ("a FIFO as its lock", |full| fifo(&full.pod.daemon.run_root().join("lock"))),
    ]);
}

#[test]
fn what_was_set_aside_is_kept_and_said() {
    peapod(async |daemon| {
        let sick = Full::run(daemon, "sick", "sleep 53534").await;
        daemon.kill().await;
        pod_column(&sick, "spec", "'spoiled'");
        daemon.start_again().await;
        assert!(daemon.pods().await.is_empty() && daemon.containers().await.is_empty());
        let log = daemon.log_tail(100);
        assert!(log.contains(&sick.pod.id) && log.contains("table unreadable"), "{log}");
        let db = rusqlite::Connection::open(daemon.state_root().join("state.db")).unwrap();
        let kept: Vec<String> = db
            .prepare("SELECT CAST(spec AS TEXT) FROM unreadable WHERE table_name = 'pods'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(kept, ["spoiled"]);
        daemon.nothing_left().await;
        assert_eq!(processes("sleep 53534"), 0);
    });
}

#[test]
fn a_group_that_no_record_knows_is_ended_while_running() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("mine").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let id = "0123456789abcdef".repeat(4);
        let name = container.cgroup_name().replace(&container.id, &id);
        let (stray, other) = (strays(daemon, &name), strays(daemon, "somebody-elses"));
        let exists = |group: &[PathBuf]| group.iter().any(|dir| dir.exists());
        let mut child = std::process::Command::new("/bin/sleep").arg("53532").spawn().unwrap();
        let mut kept = std::process::Command::new("/bin/sleep").arg("53533").spawn().unwrap();
        for (groups, pid) in [(&stray, child.id()), (&other, kept.id())] {
            for group in groups {
                fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
            }
        }
        wait_for("it is ended", async || child.try_wait().unwrap().is_some()).await;
        wait_for("its group is gone", async || !exists(&stray)).await;
        assert!(kept.try_wait().unwrap().is_none() && exists(&other));
        assert_eq!(container.exec("echo here").await, "here\n");
        kept.kill().unwrap();
        kept.wait().unwrap();
        wait_for("ours are gone", async || other.iter().all(|group| fs::remove_dir(group).is_ok() || !group.exists()))
            .await;
        assert_eq!(container.state().await, ContainerRunning);
        container.stop(0).await.unwrap();
        assert_eq!(container.state().await, ContainerExited);
    });
}

/// Makes a group of that name below the daemon's parent, in every tree that can hold a process of its own.
fn strays(daemon: &Daemon, name: &str) -> Vec<PathBuf> {
    let groups: Vec<PathBuf> = cgroups::dirs(&daemon.cgroup())
        .into_iter()
        .filter(|parent| parent.exists())
        .map(|dir| dir.join(name))
        .collect();
    for group in &groups {
        fs::create_dir(group).unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(all) = fs::read(group.parent().unwrap().join(file)) {
                // A cpuset of its own takes nobody before it has some.
                let _ = fs::write(group.join(file), all);
            }
        }
    }
    groups
}
