//! Looks for programs.

use std::path::{Path, PathBuf};

use super::section::absolute;

/// Name of the shim's binary; containerd expects one of this form.
pub(super) const SHIM: &str = "containerd-shim-peapod-v1";

/// Searched after PATH: a service often has a short one.
const USUAL: [&str; 6] = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program by its absolute path.
pub(super) fn executable(text: &str) -> Result<PathBuf, String> {
    let path = absolute(text)?;
    if is_executable(&path) { Ok(path) } else { Err("is not an executable file".into()) }
}

/// A program by its name.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(USUAL.map(PathBuf::from))
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

/// The shim: beside the running binary, so that a build tree works as it is; then where packages put it.
pub(super) fn shim() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(SHIM)));
    beside
        .into_iter()
        .chain([Path::new("/usr/libexec/peapod").join(SHIM)])
        .find(|candidate| is_executable(candidate))
        .or_else(|| program(SHIM))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
