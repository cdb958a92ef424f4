//! Processes by descent: what a call of the OCI runtime has started, wherever that put itself.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use peapod_sys::proc::pids;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::proc;

/// How often new descendants are looked for. What was found is stopped by then, so that a second look usually finds
/// none.
const ROUNDS: usize = 16;

/// Processes that were killed.
pub(crate) struct Killed(Vec<OwnedFd>);

impl Killed {
    /// Whether all of them are gone, or wait to be reaped.
    pub(crate) fn are_gone(&mut self) -> bool {
        self.0.retain(|pidfd| {
            let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
            // A pidfd is readable when its process has ended. An error can't be about the process.
            !matches!(poll(&mut polled, Some(&Timespec::default())), Ok(1..))
        });
        self.0.is_empty()
    }
}

/// Kills a process and all that descend from it. They are stopped first: what is stopped has no more children.
pub(crate) fn kill(pid: u32) -> Killed {
    let mut known = HashMap::new();
    if let Ok(root) = proc::open(pid) {
        known.insert(pid, root);
    }
    kill_below(pid, known)
}

/// Kills all that descend from this process.
pub(crate) fn kill_descendants() -> Killed {
    kill_below(std::process::id(), HashMap::new())
}

fn kill_below(root: u32, mut known: HashMap<u32, OwnedFd>) -> Killed {
    stop(known.values());
    for _ in 0..ROUNDS {
        let parents = parents();
        let is_new = |pid: &u32| !known.contains_key(pid) && descends(&parents, *pid, root);
        let new: Vec<u32> = parents.keys().copied().filter(is_new).collect();
        let mut found = HashMap::new();
        for pid in new {
            // Looked at again behind the descriptor: the number may be somebody else's by now.
            if let Ok(pidfd) = proc::open(pid)
                && proc::parent(pid).as_ref() == parents.get(&pid)
            {
                found.insert(pid, pidfd);
            }
        }
        if found.is_empty() {
            break;
        }
        stop(found.values());
        known.extend(found);
    }
    for pidfd in known.values() {
        // One that has ended is fine.
        let _ = peapod_sys::send_signal(pidfd, libc::SIGKILL);
    }
    Killed(known.into_values().collect())
}

fn stop<'a>(processes: impl Iterator<Item = &'a OwnedFd>) {
    for pidfd in processes {
        // As above.
        let _ = peapod_sys::send_signal(pidfd, libc::SIGSTOP);
    }
}

/// The parent of each process of the node.
fn parents() -> HashMap<u32, u32> {
    pids().filter_map(|pid| Some((pid, proc::parent(pid)?))).collect()
}

/// Whether a process has that one above it.
fn descends(parents: &HashMap<u32, u32>, pid: u32, root: u32) -> bool {
    let mut at = pid;
    // The table was read while processes came and went: it may have a circle.
    for _ in 0..parents.len() {
        match parents.get(&at) {
            Some(parent) if *parent == root => return true,
            Some(parent) => at = *parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_descends_from_whom() {
        let parents = HashMap::from([(1, 0), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 8), (8, 7)]);
        let mut found: Vec<u32> = parents.keys().copied().filter(|pid| descends(&parents, *pid, 2)).collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn kills_a_process_with_its_children() {
        let script = "sleep 65432 & (sleep 65432 & wait) & wait";
        let mut child = std::process::Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        let shell = child.id();
        let count = || {
            let parents = parents();
            parents.keys().filter(|pid| descends(&parents, **pid, shell)).count()
        };
        let start = std::time::Instant::now();
        while count() < 3 {
            assert!(start.elapsed().as_secs() < 20, "the shell starts nothing");
        }
        let mut killed = kill(shell);
        assert_eq!(killed.0.len(), 4);
        while !killed.are_gone() {
            assert!(start.elapsed().as_secs() < 20, "they don't die");
        }
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    }
}
