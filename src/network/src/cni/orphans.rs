//! Plugins that an earlier daemon was running when it died. Nobody reads what they say, and what they still make would
//! be made after, or while, it is taken away.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

/// How long killed plugins may take to be gone. One that hangs in the kernel is left alone.
const GONE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
const VARIABLE: &[u8] = b"CNI_CONTAINERID=";

/// Ends all processes that run for one of these attachments: plugins, and what they have started. Blocks.
pub(super) fn end(ids: &HashSet<&str>) {
    let start = Instant::now();
    loop {
        let found = find(ids);
        if found.is_empty() {
            return;
        }
        if start.elapsed() > GONE {
            tracing::warn!(processes = ?found, "network plugins of an earlier daemon won't end");
            return;
        }
        for pid in found {
            // Looked at again behind the descriptor: the number may be somebody else's by now.
            if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
                && runs_for(pid, ids)
            {
                tracing::info!(pid = pid.as_raw_nonzero(), "a network plugin outlived its daemon and is ended");
                // Gone already is fine.
                let _ = pidfd_send_signal(&process, Signal::KILL);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

fn find(ids: &HashSet<&str>) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| runs_for(*pid, ids))
        .collect()
}

fn runs_for(pid: Pid, ids: &HashSet<&str>) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    let value = environment.split(|byte| *byte == 0).find_map(|line| line.strip_prefix(VARIABLE));
    value.and_then(|value| std::str::from_utf8(value).ok()).is_some_and(|value| ids.contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn ends_what_runs_for_an_attachment_and_nothing_else() {
        let start = |id: &str| Command::new("sleep").arg("600").env("CNI_CONTAINERID", id).spawn().unwrap();
        let (mut mine, mut other) = (start("orphans-test-1"), start("orphans-test-2"));
        let ended = std::thread::spawn(move || mine.wait());
        end(&HashSet::from(["orphans-test-1"]));
        assert!(!ended.join().unwrap().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
