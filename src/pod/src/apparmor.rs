//! AppArmor: which profiles the kernel has, and the default one.

use std::env;
use std::fs;
use std::path::PathBuf;

use peapod_spec::APPARMOR_DEFAULT;

use crate::program;

/// The profile's rules; named [`APPARMOR_DEFAULT`].
const PROFILE: &str = include_str!("apparmor.profile");
/// The program that compiles profiles for the kernel.
const PARSER: &str = "apparmor_parser";

/// The loaded profiles, as of now; `None` where AppArmor is off. Where a container wants the default profile it is
/// loaded first.
pub(crate) async fn profiles(wants_default: bool) -> Option<Vec<String>> {
    let loaded = look().await?;
    if !wants_default || loaded.iter().any(|name| name == APPARMOR_DEFAULT) {
        return Some(loaded);
    }
    load().await;
    look().await
}

/// The kernel takes a moment to list its profiles. A panic there counts as AppArmor that is off.
async fn look() -> Option<Vec<String>> {
    tokio::task::spawn_blocking(loaded).await.unwrap_or_default()
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
    let Ok(Some(parser)) = tokio::task::spawn_blocking(parser).await else { return };
    if let Err(error) = program::run(parser.as_os_str(), &["--replace", "--skip-cache"], PROFILE.as_bytes()).await {
        tracing::warn!(%error, parser = %parser.display(), "the AppArmor profile {APPARMOR_DEFAULT} can't be loaded");
    }
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
