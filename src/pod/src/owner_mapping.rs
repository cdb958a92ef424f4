//! Whether the node's layers can be seen with the owners of a user namespace: the file system that they lie on decides.
//!
//! The shim's binary tries, as that takes a user namespace and so a process of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use peapod_shim_protocol::UNMAPPABLE;
use tokio::sync::Mutex;

/// It makes a namespace and a mount, and ends.
const LIMIT: Duration = Duration::from_secs(5);
/// How long an outcome is believed that may be another one the next time: a kubelet asks often.
const PAUSE: Duration = Duration::from_secs(5);

/// Tried when it is asked for. That it works, or that the file system can't do it, is kept.
#[derive(Debug)]
pub(crate) struct OwnerMapping {
    shim: PathBuf,
    /// The folder of layers.
    layers: PathBuf,
    pause: Duration,
    tried: Mutex<Option<Tried>>,
}

/// What came of a try.
#[derive(Clone, Debug)]
enum Tried {
    Can,
    /// For a person.
    Never(String),
    /// It failed for another reason, such as a limit of the node, at that time.
    NotNow(String, Instant),
}

impl OwnerMapping {
    pub(crate) fn new(shim: PathBuf, layers: PathBuf) -> Self {
        Self { shim, layers, pause: PAUSE, tried: Mutex::new(None) }
    }

    /// An error says why it can't be done, for a person. If it may be otherwise by now it is tried again.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        let mut tried = self.tried.lock().await;
        let kept = tried.take().filter(|tried| !matches!(tried, Tried::NotNow(_, at) if at.elapsed() >= self.pause));
        let outcome = match kept {
            Some(kept) => kept,
            None => self.try_it().await,
        };
        match tried.insert(outcome) {
            Tried::Can => Ok(()),
            Tried::Never(reason) | Tried::NotNow(reason, _) => Err(reason.clone()),
        }
    }

    async fn try_it(&self) -> Tried {
        let mut command = tokio::process::Command::new(&self.shim);
        command.arg("-bundle").arg(&self.layers).arg("map-owners").current_dir("/").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let failed =
            |reason: String| Tried::NotNow(format!("{} map-owners: {reason}", self.shim.display()), Instant::now());
        let output = match tokio::time::timeout(LIMIT, command.output()).await {
            Err(_) => return failed(format!("not over after {} s", LIMIT.as_secs())),
            Ok(Err(error)) => return failed(error.to_string()),
            Ok(Ok(output)) => output,
        };
        let words = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status.code() {
            Some(0) => Tried::Can,
            Some(code) if code == i32::from(UNMAPPABLE) => Tried::Never(words()),
            Some(_) => Tried::NotNow(words(), Instant::now()),
            None => failed(output.status.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::program;

    #[tokio::test]
    async fn what_was_tried_is_known_and_what_was_not_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let of = |script: &str| {
            let asked = OwnerMapping::new(program(dir.path(), script), "/layers".into());
            OwnerMapping { pause: Duration::ZERO, ..asked }
        };
        let can = of("#!/bin/sh\n[ \"$*\" = '-bundle /layers map-owners' ] || exit 1");
        assert_eq!(can.ask().await, Ok(()));
        let can_not = of("#!/bin/sh\necho >>${0%/*}/asked\necho 'no such mounts' >&2\nexit 3");
        for _ in 0..3 {
            assert_eq!(can_not.ask().await, Err("no such mounts".to_owned()));
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("asked")).unwrap().lines().count(), 1);
        let killed = of("#!/bin/sh\n[ -e ${0%/*}/ready ] || kill -KILL $$");
        assert!(killed.ask().await.unwrap_err().contains("map-owners"));
        std::fs::write(dir.path().join("ready"), "").unwrap();
        assert_eq!(killed.ask().await, Ok(()));
    }

    #[tokio::test]
    async fn a_limit_of_the_node_is_none_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let script = "#!/bin/sh\necho >>${0%/*}/asked\n[ -e ${0%/*}/ready ] && exit 0\necho 'no more' >&2\nexit 1";
        let asked = || std::fs::read_to_string(dir.path().join("asked")).unwrap().lines().count();
        let mut limited = OwnerMapping::new(program(dir.path(), script), "/layers".into());
        limited.pause = Duration::from_secs(3600);
        for _ in 0..3 {
            assert_eq!(limited.ask().await, Err("no more".to_owned()));
        }
        assert_eq!(asked(), 1);
        std::fs::write(dir.path().join("ready"), "").unwrap();
        limited.pause = Duration::ZERO;
        for _ in 0..3 {
            assert_eq!(limited.ask().await, Ok(()));
        }
        assert_eq!(asked(), 2);
    }
}
