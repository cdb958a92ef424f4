//! The configuration that a container was created with, kept in its bundle until it starts, and edited there when it
//! does.
//!
//! Made once, from one look at image and node. Containers that a release without it created have none: theirs is made
//! at the start.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use peapod_spec::Config;
use peapod_sys::MappedFolders;

use crate::bounds::CONFIG_BYTES;
use crate::error::Error;
use crate::read;

/// Where the OCI runtime looks for it.
const FILE: &str = "config.json";
/// Written first, so that a crash leaves the old one.
const NEW: &str = "config.json.new";
/// Where the image's layers are mounted while a start makes volumes, for a pod with users of its own.
const LAYERS: &str = "layers";

/// Keeps a new container's configuration. The pod's folder must be there: that of a removed pod is not made again.
pub(super) fn keep(bundle: &Path, config: &Config) -> Result<(), Error> {
    for folder in bundle.parent().into_iter().chain([bundle]) {
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::failed(format!("make {}", folder.display()), &error));
            }
            _ => {}
        }
    }
    write(bundle, config)
}

/// Puts a configuration in the place of the one before, if there is one.
pub(super) fn write(bundle: &Path, config: &Config) -> Result<(), Error> {
    let step = || format!("write the configuration in {}", bundle.display());
    let json = config.json().map_err(|error| Error::failed(step(), &error))?;
    let written = write_new(&bundle.join(NEW), json.as_ref());
    let written = written.and_then(|()| std::fs::rename(bundle.join(NEW), bundle.join(FILE)));
    written.map_err(|error| Error::failed(step(), &error))
}

/// Root's alone: root of a pod with users of its own passes through the folders above, and in here are the secrets of
/// other containers.
fn write_new(path: &Path, json: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // One that a crash has left may be an older release's.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(json)
}

/// The kept configuration; `None` if there is none that can be read.
pub(super) fn find(bundle: &Path) -> Option<Config> {
    let bytes = match read::whole(&bundle.join(FILE), CONFIG_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return lost(bundle, &error),
    };
    Config::parse(&bytes).map_or_else(|error| lost(bundle, &error), Some)
}

fn lost(bundle: &Path, error: &dyn std::error::Error) -> Option<Config> {
    let bundle = bundle.display();
    tracing::warn!(%bundle, %error, "a container's kept configuration can't be read: it is made again");
    None
}

/// Where a start may mount the image's layers, for as long as it makes volumes.
pub(super) fn layers(bundle: &Path) -> PathBuf {
    bundle.join(LAYERS)
}

/// Unmounts what a daemon that was killed has left in a bundle: the shim knows its own mounts only.
pub(super) fn unmount(bundle: &Path) -> io::Result<()> {
    MappedFolders::clear(&layers(bundle))
}

/// Removes everything but the configuration from a bundle. Already gone is success.
pub(super) fn clear(bundle: &Path) -> io::Result<()> {
    unmount(bundle)?;
    let entries = match std::fs::read_dir(bundle) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() != FILE {
            peapod_sys::remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Bundles of a pod's folder in which nothing but a configuration is, of containers that are not known: a daemon died
/// before it could record them.
pub(crate) fn unrecorded(pod_dir: &Path, is_known: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let is_kept =
        |bundle: &Path| entries(bundle).all(|entry| [FILE, NEW].iter().any(|name| entry.file_name() == *name));
    entries(&pod_dir.join("containers"))
        .filter(|entry| !is_known(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|bundle| is_kept(bundle))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &[u8] = br#"{"ociVersion":"1.0.2","process":{"terminal":false,"user":{"uid":1,"gid":2},"cwd":"/"}}"#;

    #[test]
    fn a_configuration_is_found_as_it_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("containers/one");
        let config = Config::parse(CONFIG).unwrap();
        assert!(find(&bundle).is_none());
        keep(&bundle, &config).unwrap();
        assert_eq!(find(&bundle).unwrap(), config);
        for other in ["rootfs/dir", "exec"] {
            std::fs::create_dir_all(bundle.join(other)).unwrap();
        }
        std::fs::write(bundle.join("exit"), "").unwrap();
        clear(&bundle).unwrap();
        assert_eq!(std::fs::read_dir(&bundle).unwrap().count(), 1);
        assert_eq!(find(&bundle).unwrap(), config);
        std::fs::write(bundle.join(NEW), "").unwrap();
        std::fs::set_permissions(bundle.join(NEW), Permissions::from_mode(0o644)).unwrap();
        write(&bundle, &config).unwrap();
        assert_eq!(std::fs::metadata(bundle.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        clear(&dir.path().join("gone")).unwrap();
    }

    #[test]
    fn the_folder_of_a_removed_pod_is_not_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let pod = dir.path().join("pod");
        keep(&pod.join("containers/one"), &Config::parse(CONFIG).unwrap()).unwrap_err();
        assert!(!pod.exists());
    }

    #[test]
    fn bundles_that_nobody_knows_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = |name: &str| dir.path().join("containers").join(name);
        assert!(unrecorded(dir.path(), |_| false).is_empty());
        for name in ["known", "new", "mounted"] {
            keep(&bundle(name), &Config::parse(CONFIG).unwrap()).unwrap();
        }
        std::fs::create_dir(bundle("mounted").join("rootfs")).unwrap();
        assert_eq!(unrecorded(dir.path(), |name| name == "known"), [bundle("new")]);
    }

    #[test]
    fn what_is_damaged_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"{", b"[]", &CONFIG[..40]] {
            std::fs::write(dir.path().join(FILE), content).unwrap();
            assert!(find(dir.path()).is_none());
        }
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        nix::unistd::mkfifo(&dir.path().join(FILE), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert!(find(dir.path()).is_none());
    }
}
