//! Takes away what a failed test left, so that the next one starts clean. Best effort: the node's end takes the rest.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::test_env::TestEnv;
use crate::{cgroups, leaks};

pub(crate) fn all(env: &TestEnv) {
    // A kill is not yet an end, so a few rounds.
    for _ in 0..50 {
        let parents = leaks::parents(env);
        for parent in &parents {
            kill_below(parent);
        }
        if !parents.iter().any(|parent| !remove(parent)) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    cgroups::remove_parent(&env.cgroup());
    for path in leaks::mounts(env).iter().rev() {
        let _ = umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
    for root in [env.run_root(), env.state_root()] {
        let _ = umount2(&root, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
    for table in leaks::tables(env) {
        leaks::nft(&format!("delete table {table}"));
    }
    if Path::new("/sys/class/net").join(env.bridge()).exists() {
        let _ = Command::new("ip").args(["link", "delete", &env.bridge()]).status();
    }
}

fn kill_below(cgroup: &Path) {
    for child in folders(cgroup) {
        kill_below(&child);
    }
    let Ok(pids) = fs::read_to_string(cgroup.join("cgroup.procs")) else { return };
    for pid in pids.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Whether the cgroup is gone with all below it.
fn remove(cgroup: &Path) -> bool {
    folders(cgroup).iter().all(|child| remove(child)) & fs::remove_dir(cgroup).is_ok()
}

fn folders(cgroup: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(cgroup) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()
}
