//! Plugins that an earlier daemon was running when it died. Nobody reads what they say, and what they still make would
//! be made after, or while, it is taken away.

use peapod_sys::proc;
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// How long killed plugins may take to be gone. One that hangs in the kernel is left alone.
const GONE: Duration = Duration::from_secs(2);
const VARIABLE: &[u8] = b"CNI_CONTAINERID=";

/// Ends all processes that run for one of these attachments: plugins, and what they have started. Blocks.
pub(super) fn end(ids: &HashSet<&str>) {
    let ended = proc::kill_matching(|pid| runs_for(pid, ids), GONE);
    for pid in ended.killed {
        tracing::info!(pid, "a network plugin outlived its daemon and was ended");
    }
    if !ended.left.is_empty() {
        tracing::warn!(processes = ?ended.left, "network plugins of an earlier daemon won't end");
    }
}

fn runs_for(pid: u32, ids: &HashSet<&str>) -> bool {
    let environment = proc::environment(pid);
    let value = environment.iter().find_map(|line| line.as_bytes().strip_prefix(VARIABLE));
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
        // A child that was just started has for a moment no environment.
        while std::fs::read(format!("/proc/{}/environ", mine.id())).unwrap().is_empty() {
            std::thread::yield_now();
        }
        let ended = std::thread::spawn(move || mine.wait());
        end(&HashSet::from(["orphans-test-1"]));
        assert!(!ended.join().unwrap().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
