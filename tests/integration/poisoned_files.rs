//! The daemon starts whatever stands in the place of its databases and folders: with what is whole, and where nothing
//! is, empty and clean.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use peapod_tests::{Container, Daemon, Pod, SHELL, cgroups, peapod, processes, v1, wait_for};
use v1::ContainerState::{ContainerExited, ContainerRunning};

/// A way to spoil a file, by its name.
type Poison = (&'static str, fn(&Path));

/// Each makes of a database what nobody can read.
const DAMAGE: &[Poison] = &[
    ("no database", |path| fs::write(path, vec![b'x'; 100_000]).unwrap()),
    ("no bytes", |path| fs::write(path, "").unwrap()),
    ("all pages but the first are zeros", |path| {
        use std::os::unix::fs::FileExt;
        forget_journal(path);
        let file = fs::File::options().write(true).open(path).unwrap();
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        file.write_all_at(&vec![0; length - 4096], 4096).unwrap();
    }),
    ("cut after the first page", |path| {
        forget_journal(path);
        fs::File::options().write(true).open(path).unwrap().set_len(4096).unwrap();
    }),
    ("a folder", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir_all(path.join("with/something")).unwrap();
    }),
    ("a link to nowhere", |path| {
        fs::remove_file(path).unwrap();
        symlink("/nowhere/at/all", path).unwrap();
    }),
    ("a link to itself", |path| {
        fs::remove_file(path).unwrap();
        symlink(path, path).unwrap();
    }),
    ("the journal of the other", |path| {
        let other = if path.ends_with("state.db") { "image.db-wal" } else { "state.db-wal" };
        fs::copy(path.with_file_name(other), sidecar(path, "-wal")).unwrap();
        let _ = fs::remove_file(sidecar(path, "-shm"));
    }),
];

/// What a database has beside it can be lost without it.
const SIDECARS: &[Poison] = &[
    ("an index that is rubbish", |path| fs::write(sidecar(path, "-shm"), vec![b'x'; 40_000]).unwrap()),
    ("a folder as index", |path| {
        let _ = fs::remove_file(sidecar(path, "-shm"));
        fs::create_dir(sidecar(path, "-shm")).unwrap();
    }),
    ("no index", |path| fs::remove_file(sidecar(path, "-shm")).unwrap()),
];

fn sidecar(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Brings all that is in the journal into the file.
fn forget_journal(path: &Path) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

/// A pod with a container that runs, and one that waits.
struct Old<'a> {
    pod: Pod<'a>,
    running: Container<'a>,
    /// The command line of what runs in it.
    sleep: String,
}

impl<'a> Old<'a> {
    /// `seconds`: nothing else on the node sleeps so long. `port`: of the node, nobody else's.
    async fn run(daemon: &'a Daemon, seconds: u32, port: i32) -> Self {
        let sleep = format!("sleep {seconds}");
        let pod = daemon.pod("old").port(80, port).run().await;
        let running = pod.container("running").sh(&format!("{sleep} & {sleep}")).start().await;
        pod.container("waiting").sh("true").create().await;
        Self { pod, running, sleep }
    }

    async fn is_well(&self) {
        assert!(self.pod.is_ready().await);
        assert_eq!(self.running.state().await, ContainerRunning);
        assert_eq!(self.running.exec("echo here").await, "here\n");
    }

    async fn is_over(&self) {
        let daemon = self.pod.daemon;
        wait_for("nothing of it runs", async || processes(&self.sleep) == 0).await;
        wait_for("its cgroups are gone", async || {
            let parents = cgroups::dirs(&daemon.cgroup());
            !parents.iter().any(|parent| parent.join(self.running.cgroup_name()).exists())
        })
        .await;
    }
}

async fn condition(daemon: &Daemon) -> v1::RuntimeCondition {
    let status = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner();
    let conditions = status.status.unwrap().conditions;
    conditions.into_iter().find(|condition| condition.r#type == "RecordsIntact").unwrap()
}

/// Nothing is wrong with what is new.
async fn works(daemon: &Daemon, name: &str) {
    daemon.pull(SHELL).await.unwrap();
    let pod = daemon.pod(name).run().await;
    let container = pod.container("main").sh("echo whole; sleep 1000").start().await;
    wait_for("it says something", async || container.stdout().ends_with("whole\n")).await;
    assert_eq!(container.exec("echo here").await, "here\n");
    container.stop(0).await.unwrap();
    assert_eq!(container.state().await, ContainerExited);
    pod.remove().await.unwrap();
}

#[allow(clippy::print_stderr, reason = "shows which one it was when the test fails")]
#[test]
fn a_database_of_pods_that_nobody_can_read_leaves_a_clean_node() {
    peapod(async |daemon| {
        let path = daemon.state_root().join("state.db");
        for (number, (name, poison)) in DAMAGE.iter().enumerate() {
            eprintln!("{name}");
            // The same names and ports: nothing of the one before is in their way.
            let old = Old::run(daemon, 53541, 31781).await;
            daemon.kill().await;
            poison(&path);
            daemon.start_again().await;
            assert!(daemon.pods().await.is_empty() && daemon.containers().await.is_empty());
            let condition = condition(daemon).await;
            assert!(!condition.status && condition.message.contains("state.db.damaged-"), "{condition:?}");
            assert!(daemon.log_tail(200).contains("a database can't be read: it is set aside"));
            old.is_over().await;
            works(daemon, &format!("new-{number}")).await;
            daemon.nothing_left().await;
        }
        // No more than the last three are kept, and then nobody speaks of them any more.
        let entries = fs::read_dir(daemon.state_root()).unwrap().flatten().map(|entry| entry.path());
        let kept: Vec<_> = entries.filter(|path| path.to_str().unwrap().contains("state.db.damaged-")).collect();
        let is_database = |path: &&PathBuf| path.to_str().unwrap().ends_with('Z');
        // And a folder, which is not ours to remove.
        assert_eq!(kept.iter().filter(is_database).filter(|path| !path.is_dir()).count(), 3, "{kept:?}");
        for path in kept {
            assert!(std::process::Command::new("rm").arg("-rf").arg(path).status().unwrap().success());
        }
        daemon.kill().await;
        daemon.start_again().await;
        assert!(condition(daemon).await.status);
    });
}

#[allow(clippy::print_stderr, reason = "shows which one it was when the test fails")]
#[test]
fn a_database_of_images_that_nobody_can_read_costs_no_container() {
    peapod(async |daemon| {
        let old = Old::run(daemon, 53542, 31782).await;
        let path = daemon.state_root().join("image.db");
        for (number, (name, poison)) in DAMAGE.iter().enumerate() {
            eprintln!("{name}");
            daemon.kill().await;
            poison(&path);
            daemon.start_again().await;
            let listed = daemon.images().list_images(v1::ListImagesRequest::default()).await.unwrap().into_inner();
            assert!(listed.images.is_empty(), "{listed:?}");
            let condition = condition(daemon).await;
            assert!(!condition.status && condition.message.contains("image.db.damaged-"), "{condition:?}");
            old.is_well().await;
            assert_eq!(old.running.exec("ls /bin/sh").await, "/bin/sh\n");
            works(daemon, &format!("new-{number}")).await;
            old.is_well().await;
        }
        old.pod.remove().await.unwrap();
    });
}

#[allow(clippy::print_stderr, reason = "shows which one it was when the test fails")]
#[test]
fn what_lies_beside_a_database_costs_nothing() {
    peapod(async |daemon| {
        let old = Old::run(daemon, 53543, 31783).await;
        for file in ["state.db", "image.db"] {
            for (number, (name, poison)) in SIDECARS.iter().enumerate() {
                eprintln!("{file}: {name}");
                daemon.kill().await;
                poison(&daemon.state_root().join(file));
                daemon.start_again().await;
                assert!(condition(daemon).await.status);
                old.is_well().await;
                works(daemon, &format!("new-{number}")).await;
            }
        }
        old.pod.remove().await.unwrap();
    });
}

/// What may stand in a folder's place once it is away.
const IN_ITS_PLACE: &[Poison] = &[
    ("nothing", |_| {}),
    ("a file", |path| fs::write(path, "no folder").unwrap()),
    ("a link to nowhere", |path| symlink("/nowhere/at/all", path).unwrap()),
    ("a link to itself", |path| symlink(path, path).unwrap()),
    ("a link to a file", |path| symlink("/etc/passwd", path).unwrap()),
    ("a device", |path| symlink("/dev/null", path).unwrap()),
];

#[allow(clippy::print_stderr, reason = "shows which one it was when the test fails")]
#[test]
fn folders_of_the_state_root() {
    peapod(async |daemon| {
        let old = Old::run(daemon, 53544, 31784).await;
        let away = daemon.path("away");
        fs::create_dir(&away).unwrap();
        for name in ["containers", "layers", "ingest", "trash"] {
            let path = daemon.state_root().join(name);
            for (number, (what, poison)) in IN_ITS_PLACE.iter().enumerate() {
                eprintln!("{name}: {what}");
                daemon.kill().await;
                fs::rename(&path, away.join(format!("{name}-{number}"))).unwrap();
                poison(&path);
                daemon.start_again().await;
                old.is_well().await;
                works(daemon, &format!("new-{number}")).await;
            }
            eprintln!("{name}: kept elsewhere, and nobody may read it");
            daemon.kill().await;
            let elsewhere = away.join(format!("{name}-elsewhere"));
            fs::rename(&path, &elsewhere).unwrap();
            symlink(&elsewhere, &path).unwrap();
            fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o000)).unwrap();
            daemon.start_again().await;
            old.is_well().await;
            assert!(daemon.image(SHELL).await.is_some());
            works(daemon, "linked").await;
        }
        old.pod.remove().await.unwrap();
    });
}

#[allow(clippy::print_stderr, reason = "shows which one it was when the test fails")]
#[test]
fn folders_of_the_run_root() {
    peapod(async |daemon| {
        for name in ["s", "pods", "runtimes"] {
            let path = daemon.run_root().join(name);
            for (number, (what, poison)) in IN_ITS_PLACE.iter().enumerate() {
                eprintln!("{name}: {what}");
                let old = Old::run(daemon, 53545, 31785).await;
                daemon.kill().await;
                fs::rename(&path, daemon.run_root().join(format!("{name}-{number}"))).unwrap();
                poison(&path);
                daemon.start_again().await;
                works(daemon, &format!("new-{number}")).await;
                old.pod.stop().await.unwrap();
                old.pod.remove().await.unwrap();
                old.is_over().await;
                daemon.nothing_left().await;
            }
        }
    });
}

#[allow(clippy::print_stderr, reason = "shows which one it was when the test fails")]
#[test]
fn what_is_in_the_way_of_locks_and_socket() {
    peapod(async |daemon| {
        let old = Old::run(daemon, 53546, 31786).await;
        let (socket, locks) = (daemon.socket(), [daemon.state_root().join("lock"), daemon.run_root().join("lock")]);
        let paths = locks.into_iter().chain([socket.clone(), socket.with_file_name(".eapod.sock")]);
        for path in paths {
            for what in ["a folder with something in it", "a link to itself", "a link to a folder"] {
                eprintln!("{}: {what}", path.display());
                daemon.kill().await;
                let _ = fs::remove_file(&path);
                match what {
                    "a link to itself" => symlink(&path, &path).unwrap(),
                    "a link to a folder" => symlink("/etc", &path).unwrap(),
                    _ => fs::create_dir_all(path.join("with/something")).unwrap(),
                }
                daemon.start_again().await;
                old.is_well().await;
            }
        }
        works(daemon, "new").await;
        assert!(Path::new("/etc/passwd").exists());
        old.pod.remove().await.unwrap();
    });
}
