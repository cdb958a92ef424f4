//! What OCI runtimes can do, by their own word. The kubelet admits pods by it.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::config::OciRuntime;

/// How long a runtime may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// More of an answer is not read. runc's has 10 000 bytes.
const LONGEST: u64 = 1 << 20;

/// What not every OCI runtime can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Mounts that are read-only with all mounts below them.
    pub(crate) recursive_read_only: bool,
    /// Limits of -1, for none. crun 1.8 takes no negative numbers; runc writes what it was told last with each update,
    /// and so has to be told.
    pub(crate) no_limits: bool,
}

/// Asks a runtime. One that can't be asked can nothing of it.
pub(crate) async fn ask(runtime: &OciRuntime) -> Features {
    let (features, version) = tokio::join!(answer(runtime, "features"), answer(runtime, "--version"));
    let version = version.unwrap_or_default();
    // crun has `features` since 1.8.6, and these mounts since 1.4.
    let recursive_read_only = features.map_or_else(|| by_version(&version), |text| by_features(&text));
    Features { recursive_read_only, no_limits: !version.is_empty() && !version.starts_with(b"crun ") }
}

/// The object of the OCI runtime specification's features.md.
fn by_features(text: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        mount_options: Vec<String>,
    }
    serde_json::from_slice::<Answer>(text).is_ok_and(|found| found.mount_options.iter().any(|option| option == "rro"))
}

/// `crun version 1.8.1`.
fn by_version(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let version = text.lines().next().and_then(|line| line.strip_prefix("crun version "));
    let mut numbers = version.unwrap_or_default().split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(1), Some(4))
}

async fn answer(runtime: &OciRuntime, word: &str) -> Option<Vec<u8>> {
    tokio::time::timeout(LIMIT, run(runtime, word)).await.ok().flatten()
}

async fn run(runtime: &OciRuntime, word: &str) -> Option<Vec<u8>> {
    let mut child = Command::new(&runtime.path)
        .arg(word)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let mut text = Vec::new();
    stdout.take(LONGEST).read_to_end(&mut text).await.ok()?;
    let ended = child.wait().await.ok()?;
    // Reaped: the number may be somebody else's.
    group.0 = None;
    ended.success().then_some(text)
}

/// The process group of a call. Dropped before the call has ended, it is killed with all that it started.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // One that has ended is fine.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn words_of_runtimes() {
        assert!(by_features(br#"{"ociVersionMin": "1.0.0", "mountOptions": ["ro", "rro"]}"#));
        for text in [r#"{"mountOptions": ["ro"]}"#, "{}", "", "[]", r#"{"mountOptions": "rro"}"#] {
            assert!(!by_features(text.as_bytes()), "{text}");
        }
        for (text, can) in [
            ("crun version 1.8.1\ncommit: f8a", true),
            ("crun version 2.0", true),
            ("crun version 1.4", true),
            ("crun version 1.3.2", false),
            ("crun version 0.21", false),
            ("runc version 1.0.0", false),
            ("", false),
        ] {
            assert_eq!(by_version(text.as_bytes()), can, "{text}");
        }
    }

    #[tokio::test]
    async fn one_that_does_not_answer_can_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runtime");
        let of = |recursive_read_only, no_limits| Features { recursive_read_only, no_limits };
        for (script, can) in [
            ("#!/bin/sh\n[ $1 = features ] && echo '{\"mountOptions\": [\"rro\"]}'", of(true, false)),
            ("#!/bin/sh\n[ $1 = --version ] && echo crun version 1.8.1", of(true, false)),
            ("#!/bin/sh\n[ $1 = --version ] && echo runc version 1.5.2", of(false, true)),
            ("#!/bin/sh\necho crun version 1.8.1; exit 1", of(false, false)),
            ("#!/bin/sh\nexec sleep 60", of(false, false)),
            ("#!/bin/sh\nexec cat /dev/zero", of(false, false)),
        ] {
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            let runtime = OciRuntime { path: path.clone(), root: dir.path().join("root") };
            assert_eq!(ask(&runtime).await, can, "{script}");
        }
    }
}
