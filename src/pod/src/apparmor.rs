//! AppArmor: which profiles the kernel has, and the default one.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use peapod_spec::APPARMOR_DEFAULT;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// The profile's rules; named [`APPARMOR_DEFAULT`].
const PROFILE: &str = include_str!("apparmor.profile");
/// The program that compiles profiles for the kernel.
const PARSER: &str = "apparmor_parser";
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How much of its words is told.
const WORDS: usize = 400;

/// The loaded profiles, as of now; `None` where AppArmor is off. Where a container wants the default profile it is loaded first.
pub(crate) async fn profiles(wants_default: bool) -> Option<Vec<String>> {
    let loaded = loaded()?;
    if !wants_default || loaded.iter().any(|name| name == APPARMOR_DEFAULT) {
        return Some(loaded);
    }
    load().await;
    self::loaded()
}

fn loaded() -> Option<Vec<String>> {
    if !read("/sys/module/apparmor/parameters/enabled").starts_with('Y') {
        return None;
    }
    let profiles = read("/sys/kernel/security/apparmor/profiles");
    Some(profiles.lines().filter_map(|line| Some(line.rsplit_once(" (")?.0.to_owned())).collect())
}

async fn load() {
    // Absent is said of the containers that go without it.
    let Some(parser) = parser() else { return };
    let outcome = match timeout(LIMIT, run(&parser)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::other(format!("it did not end within {} s", LIMIT.as_secs()))),
    };
    if let Err(error) = outcome {
        tracing::warn!(%error, parser = %parser.display(), "the AppArmor profile {APPARMOR_DEFAULT} can't be loaded");
    }
}

async fn run(parser: &Path) -> io::Result<()> {
    let mut child = Command::new(parser)
        .args(["--replace", "--skip-cache"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // What it thinks of the text comes with its end.
        let _ = input.write_all(PROFILE.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(());
    }
    let words: String = String::from_utf8_lossy(&output.stderr).chars().take(WORDS).collect();
    Err(io::Error::other(format!("{}: {}", output.status, words.trim())))
}

/// Root's own PATH may lack the sbin folders.
fn parser() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(PARSER)).find(|file| file.is_file())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_of_the_profile_that_containers_are_given() {
        let heads: Vec<_> = PROFILE.lines().filter(|line| line.starts_with("profile ")).collect();
        assert_eq!(heads.len(), 1);
        assert!(heads[0].starts_with(&format!("profile {APPARMOR_DEFAULT} flags=(")), "{heads:?}");
        assert!(PROFILE.contains(&format!("peer={APPARMOR_DEFAULT}")));
    }
}
