//! On the node's own control groups, in a group made for the test. Needs root.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cgroup, Hierarchy, PathError, StatsPart, TaskLimit, TotalLimits};
use crate::interface_files::InterfaceFiles;
use crate::open_folders::OpenFolders;
use crate::stats_reader::StatsReader;
use crate::trees::{MountedTree, MountedTrees};

struct Scratch(Cgroup);

impl Scratch {
    fn new(name: &str) -> Self {
        let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
        let group = hierarchy.cgroup(&format!("/peapod-test-{}-{name}", std::process::id())).unwrap();
        group.create().unwrap();
        Self(group)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let gone = || self.0.remove().is_ok();
        wait_for(gone);
    }
}

/// Of version 2, with plain files that take whatever is written at their beginning.
pub(crate) fn of_folder(dir: &Path) -> Cgroup {
    let tree = MountedTree { dir: dir.to_owned(), controllers: Vec::new(), mounted: "/".to_owned() };
    let trees = MountedTrees { v2: true, trees: vec![tree], hugepages: Vec::new(), pressure: false };
    Cgroup::new(InterfaceFiles::new(Arc::new(trees), "/".to_owned()))
}

fn wait_for(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < deadline, "not within 5 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn sleeper() -> Child {
    Command::new("sleep").arg("600").spawn().unwrap()
}

#[test]
fn refuses_what_is_no_path() {
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
    let long = format!("/a/{}", "x".repeat(256));
    for path in ["", "/", "relative", "/a/../b", "/a/./b", "/a//b", "/a\0b", "/a\nb", &long] {
        assert_eq!(hierarchy.cgroup(path).unwrap_err(), PathError { path: path.to_owned(), why: PathError::PLAIN });
    }
    assert!(hierarchy.cgroup(&long[..long.len() - 1]).is_ok());
    assert_eq!(hierarchy.cgroup("/a/b/").unwrap().path(), "/a/b");
}

#[test]
fn says_when_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let error = Hierarchy::detect(dir.path()).unwrap_err().to_string();
    assert!(error.contains("holds no cgroup file system"), "{error}");
}

#[test]
#[ignore = "needs root"]
fn kills_the_whole_subtree_and_removes_it() {
    let scratch = Scratch::new("kill");
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
    let below = hierarchy.cgroup(&format!("{}/below/deep", scratch.0.path())).unwrap();
    below.create().unwrap();
    let (mut first, mut second) = (sleeper(), sleeper());
    scratch.0.attach(first.id()).unwrap();
    below.attach(second.id()).unwrap();
    assert_eq!(hierarchy.of_process(second.id()).unwrap().unwrap().path(), below.path());
    assert_eq!(scratch.0.pids().unwrap().len(), 2);
    assert!(!scratch.0.is_empty().unwrap());
    assert_eq!(scratch.0.oom_kills().unwrap(), Some(0));
    assert_eq!(below.parent().unwrap().path(), format!("{}/below", scratch.0.path()));
    assert!(scratch.0.parent().is_none());
    assert!(scratch.0.remove().is_err(), "a group with processes can't be removed");
    scratch.0.kill().unwrap();
    first.wait().unwrap();
    second.wait().unwrap();
    wait_for(|| scratch.0.is_empty().unwrap());
    wait_for(|| scratch.0.remove().is_ok());
    assert!(!scratch.0.exists());
    // Gone already: killing, counting and removing are fine.
    scratch.0.kill().unwrap();
    scratch.0.remove().unwrap();
    assert!(scratch.0.is_empty().unwrap());
    assert_eq!(scratch.0.oom_kills().unwrap(), None);
    assert!(scratch.0.open().stats(StatsPart::Usage).unwrap_err().is_gone());
}

/// What a privileged container can make of its own groups.
#[test]
#[ignore = "needs root"]
fn kills_and_removes_what_is_frozen_below_paths_of_any_length() {
    let scratch = Scratch::new("deep");
    let name = "d".repeat(200);
    for tree in &scratch.0.files().trees().trees {
        let mut dir = std::fs::File::open(tree.dir.join(&scratch.0.path()[1..])).unwrap();
        for _ in 0..40 {
            let below = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(&name);
            std::fs::create_dir(&below).unwrap();
            dir = std::fs::File::open(below).unwrap();
        }
        let file = |name: &str| format!("/proc/self/fd/{}/{name}", dir.as_raw_fd());
        let freezer = tree.controllers.iter().any(|name| name == "freezer");
        if freezer || scratch.0.files().trees().v2 {
            let mut child = sleeper();
            std::fs::write(file("cgroup.procs"), child.id().to_string()).unwrap();
            let frozen = if freezer { ("freezer.state", "FROZEN") } else { ("cgroup.freeze", "1") };
            std::fs::write(file(frozen.0), frozen.1).unwrap();
            assert!(!scratch.0.is_empty().unwrap());
            scratch.0.kill().unwrap();
            child.wait().unwrap();
        }
    }
    wait_for(|| scratch.0.is_empty().unwrap());
    wait_for(|| scratch.0.remove().is_ok());
    assert!(!scratch.0.exists());
}

#[test]
#[ignore = "needs root"]
fn reads_what_is_used() {
    let scratch = Scratch::new("stats");
    let mut child = sleeper();
    scratch.0.attach(child.id()).unwrap();
    let mut open = scratch.0.open();
    let usage = open.stats(StatsPart::Usage).unwrap();
    assert_eq!((usage.memory.limit, usage.memory.max_usage, usage.oom_kills), (None, None, None));
    let stats = open.stats(StatsPart::Counters).unwrap();
    assert_eq!((usage.tasks, stats.tasks), (Some(1), Some(1)));
    assert_eq!(stats.cpu.used.is_some(), open.cpu_time().unwrap().is_some());
    assert!(stats.memory.working_set.unwrap() <= stats.memory.usage.unwrap());
    assert!(stats.memory.rss.is_some() && stats.memory.shared.is_some());
    assert!(stats.memory.usage.unwrap() <= stats.memory.max_usage.unwrap() && stats.cpu.user.is_some());
    assert_eq!((stats.memory.limit, stats.oom_kills), (None, Some(0)));
    assert_eq!(scratch.0.task_limit().unwrap(), TaskLimit::None);
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
    let pressure = [stats.pressure.cpu, stats.pressure.memory, stats.pressure.io];
    assert_eq!(pressure.map(|stall| stall.is_some()), [hierarchy.has_pressure(); 3]);
    let sizes = stats.hugepages.iter().filter(|pages| pages.usage == Some(0)).count();
    assert_eq!(sizes, stats.hugepages.len());
    assert_eq!(!stats.hugepages.is_empty(), hierarchy.counts_hugepages().0);
    scratch.0.kill().unwrap();
    child.wait().unwrap();
}

/// As when somebody cleans up what is not theirs, and it is put back.
#[test]
#[ignore = "needs root"]
fn a_group_that_is_made_anew_is_read() {
    let scratch = Scratch::new("anew");
    let mut open = scratch.0.open();
    assert_eq!(open.stats(StatsPart::Counters).unwrap().tasks, Some(0));
    scratch.0.remove().unwrap();
    assert!(open.stats(StatsPart::Counters).unwrap_err().is_gone());
    assert!(open.cpu_time().unwrap_err().is_gone());
    scratch.0.create().unwrap();
    let mut child = sleeper();
    scratch.0.attach(child.id()).unwrap();
    let stats = open.stats(StatsPart::Counters).unwrap();
    assert!(stats.tasks == Some(1) && stats.memory.usage.is_some(), "{stats:?}");
    scratch.0.kill().unwrap();
    child.wait().unwrap();
}

/// Version 1 counts kills for each group alone: none below is told by the folder's links.
#[test]
#[ignore = "needs root"]
fn groups_below_are_seen() {
    let scratch = Scratch::new("below");
    let memory = if scratch.0.files().trees().v2 { "" } else { "memory" };
    let mut folders = OpenFolders::new(scratch.0.files().clone());
    let mut has_none_below = || StatsReader::new(&mut folders).has_none_below(memory).unwrap();
    assert!(has_none_below());
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
    hierarchy.cgroup(&format!("{}/deep", scratch.0.path())).unwrap().create().unwrap();
    assert!(!has_none_below());
}

#[test]
#[ignore = "needs root"]
fn warming_up_moves_nothing() {
    let groups = || std::fs::read_to_string("/proc/thread-self/cgroup").unwrap();
    let before = groups();
    Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap().warm_up_moves().unwrap();
    assert_eq!(groups(), before);
}

#[test]
#[ignore = "needs root"]
fn children_begin_inside() {
    let scratch = Scratch::new("spawn");
    let group = scratch.0.clone();
    let spawner = std::thread::spawn(move || {
        let mut spawn_target = group.spawn_target().unwrap();
        let (input, output) = std::io::pipe().unwrap();
        // It ends with the pipe.
        let words = ["cat"].map(std::ffi::OsStr::new);
        let cat = peapod_sys::Program::new("/bin/cat".as_ref(), words, [], "/".as_ref()).unwrap();
        let first = cat.spawn(input.as_fd(), spawn_target.dir().unwrap()).unwrap();
        if !first.in_cgroup {
            spawn_target.attach(first.pid).unwrap();
        }
        // On version 1 this thread is there too.
        assert!(group.pids().unwrap().contains(&first.pid));
        drop(output);
        wait_for(|| !group.pids().unwrap().contains(&first.pid));
        // On version 2 nobody is in it, so anybody may remove it.
        if spawn_target.dir().unwrap().is_some() {
            group.remove().unwrap();
            let second = cat.spawn(input.as_fd(), spawn_target.dir().unwrap());
            assert!(second.is_ok() && group.exists());
        }
    });
    spawner.join().unwrap();
    assert!(scratch.0.is_empty().unwrap());
}

#[test]
#[ignore = "needs root"]
fn limits_of_all_below_are_set_and_taken_off() {
    let scratch = Scratch::new("total");
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap();
    let pod = hierarchy.cgroup(&format!("{}/pod", scratch.0.path())).unwrap();
    let below = hierarchy.cgroup(&format!("{}/container", pod.path())).unwrap();
    pod.create().unwrap();
    let read = |v1: &str, v2: &str| {
        let name = if hierarchy.is_v2() { v2 } else { v1 };
        pod.files().text(name.split('.').next().unwrap(), name).unwrap().trim().to_owned()
    };
    let held = || {
        let quota = read("cpu.cfs_quota_us", "cpu.max");
        let memory: Option<u64> = read("memory.limit_in_bytes", "memory.max").parse().ok();
        (memory.filter(|bytes| *bytes < 1 << 60), quota.split(' ').next().unwrap().to_owned())
    };
    let limits = |megabytes: u64, quota: u64, period: u64| TotalLimits {
        memory: Some(megabytes << 20),
        cpu: Some((quota, period)),
        files: [("pids.max".to_owned(), "40".to_owned())].into(),
        ..TotalLimits::default()
    };
    pod.limit_total(&limits(64, 50_000, 100_000)).unwrap();
    below.create().unwrap();
    assert_eq!(held(), (Some(64 << 20), "50000".to_owned()));
    assert_eq!(pod.task_limit().unwrap(), TaskLimit::AtMost(40));
    // More, of a shorter period, which is more than the one of before would be of it.
    pod.limit_total(&limits(96, 45_000, 50_000)).unwrap();
    assert_eq!(held(), (Some(96 << 20), "45000".to_owned()));
    pod.limit_total(&limits(32, 2_000, 10_000)).unwrap();
    assert_eq!(held(), (Some(32 << 20), "2000".to_owned()));
    let wrong = TotalLimits { files: [("pids.max".to_owned(), "many".to_owned())].into(), ..limits(32, 2_000, 10_000) };
    let error = pod.limit_total(&wrong).unwrap_err();
    assert_eq!(error.source.raw_os_error(), Some(nix::errno::Errno::EINVAL as i32), "{error}");
    pod.limit_total(&TotalLimits::default()).unwrap();
    let (memory, quota) = held();
    assert!(memory.is_none() && ["-1", "max"].contains(&quota.as_str()), "{memory:?} {quota}");
    assert_eq!(pod.task_limit().unwrap(), TaskLimit::None);
}
