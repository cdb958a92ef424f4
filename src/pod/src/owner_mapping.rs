//! Whether the node's layers can be seen with the owners of a user namespace: the file system that they lie on decides.
//!
//! The shim's binary tries, as that takes a user namespace and so a process of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::sync::OnceCell;

/// It makes a namespace and a mount, and ends.
const LIMIT: Duration = Duration::from_secs(5);

/// Tried when it is asked for; what came of it is kept.
#[derive(Debug)]
pub(crate) struct OwnerMapping {
    shim: PathBuf,
    /// The folder of layers.
    layers: PathBuf,
    tried: OnceCell<Result<(), String>>,
}

impl OwnerMapping {
    pub(crate) fn new(shim: PathBuf, layers: PathBuf) -> Self {
        Self { shim, layers, tried: OnceCell::new() }
    }

    /// An error says why it can't be done, for a person. If it could not be tried it is tried again the next time.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        match self.tried.get_or_try_init(|| self.try_it()).await {
            Ok(outcome) => outcome.clone(),
            Err(reason) => Err(reason),
        }
    }

    /// The outer error: nobody knows.
    async fn try_it(&self) -> Result<Result<(), String>, String> {
        let mut command = tokio::process::Command::new(&self.shim);
        command.arg("-bundle").arg(&self.layers).arg("map-owners").current_dir("/").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let failed = |reason: String| format!("{} map-owners: {reason}", self.shim.display());
        let output = tokio::time::timeout(LIMIT, command.output()).await;
        let output = output.map_err(|_| failed(format!("not over after {} s", LIMIT.as_secs())))?;
        let output = output.map_err(|error| failed(error.to_string()))?;
        let words = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => Ok(Ok(())),
            Some(_) => Ok(Err(words.trim().to_owned())),
            None => Err(failed(output.status.to_string())),
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
        let of = |script: &str| OwnerMapping::new(program(dir.path(), script), "/layers".into());
        let can = of("#!/bin/sh\n[ \"$*\" = '-bundle /layers map-owners' ] || exit 1");
        assert_eq!(can.ask().await, Ok(()));
        let can_not = of("#!/bin/sh\necho >>${0%/*}/asked\necho 'no such mounts' >&2\nexit 1");
        for _ in 0..3 {
            assert_eq!(can_not.ask().await, Err("no such mounts".to_owned()));
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("asked")).unwrap().lines().count(), 1);
        let killed = of("#!/bin/sh\n[ -e ${0%/*}/ready ] || kill -KILL $$");
        assert!(killed.ask().await.unwrap_err().contains("map-owners"));
        std::fs::write(dir.path().join("ready"), "").unwrap();
        assert_eq!(killed.ask().await, Ok(()));
    }
}
