//! Looks for programs.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::section::absolute;

/// Name of the shim's binary; containerd expects one of this form.
pub(super) const SHIM: &str = "containerd-shim-peapod-v1";
/// Where packages put it.
const LIBEXEC: &str = "/usr/libexec/peapod";

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

/// Whether root alone can change what a program's path leads to: the file itself and all folders above it. A folder's
/// group counts as root's, as Debian has it of `/usr/local`.
///
/// # Errors
/// What others can change.
pub(super) fn is_roots_alone(path: &Path) -> Result<(), String> {
    let real = path.canonicalize().map_err(|error| format!("can't be looked at: {error}"))?;
    for part in real.ancestors() {
        let of = std::fs::metadata(part).map_err(|error| format!("can't be looked at: {error}"))?;
        let by_group = of.is_file() && of.mode() & 0o020 != 0 && of.gid() != 0;
        let by_all = of.mode() & 0o002 != 0 && (of.is_file() || of.mode() & 0o1000 == 0);
        if of.uid() != 0 || by_group || by_all {
            return Err(format!("{} can be changed by others than root", part.display()));
        }
    }
    Ok(())
}

/// The shim: beside the running binary, so that a build tree works as it is; then where an installation with that
/// binary's prefix puts it, and where packages do.
pub(super) fn shim() -> Option<PathBuf> {
    let folder = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    let candidates = folder.as_deref().map(near).into_iter().flatten();
    candidates
        .chain([Path::new(LIBEXEC).join(SHIM)])
        .find(|candidate| is_executable(candidate))
        .or_else(|| program(SHIM))
}

/// Where the shim is of a binary in this folder.
fn near(folder: &Path) -> [PathBuf; 2] {
    let prefix = folder.parent().unwrap_or(folder);
    [folder.join(SHIM), prefix.join("libexec/peapod").join(SHIM)]
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn an_installation_has_its_shim_below_its_own_prefix() {
        let [beside, installed] = near(Path::new("/opt/peapod/bin"));
        assert_eq!(beside, Path::new("/opt/peapod/bin").join(SHIM));
        assert_eq!(installed, Path::new("/opt/peapod/libexec/peapod").join(SHIM));
        assert_eq!(near(Path::new("/usr/bin"))[1], Path::new(LIBEXEC).join(SHIM));
    }

    #[test]
    #[ignore = "needs root"]
    fn a_program_is_roots_alone_as_far_as_its_folders_are() {
        let root = tempfile::tempdir_in("/run").unwrap();
        let (folder, link) = (root.path().join("bin"), root.path().join("link"));
        let file = folder.join("runtime");
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "").unwrap();
        symlink(&file, &link).unwrap();
        for (file_mode, file_group, folder_mode, is) in [
            (0o755, 0, 0o755, true),
            (0o775, 0, 0o2775, true),
            (0o775, 50, 0o755, false),
            (0o757, 0, 0o755, false),
            (0o755, 0, 0o757, false),
            (0o755, 0, 0o1777, true),
        ] {
            std::os::unix::fs::chown(&file, Some(0), Some(file_group)).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(file_mode)).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(folder_mode)).unwrap();
            let found = is_roots_alone(&link);
            assert_eq!(found.is_ok(), is, "{file_mode:o} {file_group} {folder_mode:o}: {found:?}");
        }
        std::os::unix::fs::chown(&file, Some(1), None).unwrap();
        assert!(is_roots_alone(&link).unwrap_err().contains("bin/runtime can be changed"));
        assert!(is_roots_alone(Path::new("/no/such/file")).is_err());
    }
}
